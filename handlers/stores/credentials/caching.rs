//! Tokens kept in memory, and fetched before they are needed.
//!
//! The Cosmos DB driver asks its credential for a token at each request. `azure_identity`'s credentials refresh
//! theirs 5 minutes before its end, while everybody waits behind a lock, and pass a failure on although the token
//! is still good; the one for `az` keeps none at all.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::Error;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::StatusCode;
use azure_core::time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::stores::StoreError;

/// How long one fetch may take. Longer than anybody waits for it: `az` needs its time on a slow machine, and the
/// next call has the token.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a refresh waits after the first one that failed; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Any credential, with one token for each set of scopes kept in memory.
///
/// - A token is served until its end, and nobody waits for one where a good one is at hand.
/// - It is refreshed in the background, by one task at a time, as soon as somebody asks for it in the second half
///   of its life: that leaves 12 hours to an identity endpoint that is down, of the 24 that a managed identity's token
///   has. Where nobody asks, nothing is fetched.
/// - A refresh that fails or hangs is logged, and tried again after a pause that grows from a second to a minute.
///   Only when the token has ended do callers see the error.
/// - Callers that have to wait share one fetch, and it goes on if they give up.
///
/// Errors have a [`TokenError`] as their source.
#[derive(Debug)]
pub struct CachingCredential {
    inner: Arc<dyn TokenCredential>,
    /// Few: a store asks for one and the same.
    slots: RwLock<Vec<Arc<Slot>>>,
}

/// No token could be had. The text is free of secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token for Azure: {message}")]
pub struct TokenError {
    message: String,
    /// Whether a later try can mend it. Not where the identity library itself refuses (`ErrorKind::Credential` with no
    /// other error below: nobody is signed in, the source is not supported), nor where the identity endpoint finds
    /// fault with the request (400, 401, 403: the identity is not assigned to this app).
    pub transient: bool,
}

/// What is known of one set of scopes.
struct Slot {
    scopes: Vec<String>,
    state: watch::Sender<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// Why the last fetch failed, if it did.
    failure: Option<TokenError>,
    /// The pause before the next refresh; `None` where the last one went well.
    pause: Option<Duration>,
    /// Fetches begun and ended. One is under way where they differ.
    begun: u64,
    ended: u64,
}

struct Held {
    token: AccessToken,
    ends: Instant,
    refresh_at: Instant,
}

impl CachingCredential {
    /// Keeps the tokens of `inner`. It is best one that keeps none itself: what it keeps cannot be refreshed early.
    pub fn new(inner: Arc<dyn TokenCredential>) -> Self {
        Self {
            inner,
            slots: RwLock::default(),
        }
    }

    fn slot(&self, scopes: &[&str]) -> Arc<Slot> {
        let find = |slots: &[Arc<Slot>]| slots.iter().find(|slot| slot.scopes == scopes).cloned();
        let known = find(&self.slots.read().unwrap_or_else(PoisonError::into_inner));
        known.unwrap_or_else(|| {
            let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
            find(&slots).unwrap_or_else(|| {
                let slot = Arc::new(Slot {
                    scopes: scopes.iter().map(ToString::to_string).collect(),
                    state: watch::Sender::default(),
                });
                slots.push(Arc::clone(&slot));
                slot
            })
        })
    }
}

#[async_trait]
impl TokenCredential for CachingCredential {
    /// The options are of one request, and a token is for many: they are not passed on.
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let slot = self.slot(scopes);
        let (at_hand, is_due) = {
            let state = slot.state.borrow();
            (state.good().cloned(), state.is_refresh_due())
        };
        if let Some(token) = at_hand {
            if is_due {
                slot.begin(&self.inner);
            }
            return Ok(token);
        }
        let fetch = slot.begin(&self.inner);
        let mut changes = slot.state.subscribe();
        let (token, failure) = match changes.wait_for(|state| state.ended >= fetch).await {
            Ok(state) => (state.good().cloned(), state.failure.clone()),
            Err(_) => (None, None),
        };
        token.ok_or_else(|| failure.unwrap_or_else(TokenError::broken_off).into())
    }
}

impl State {
    fn good(&self) -> Option<&AccessToken> {
        let held = self.held.as_ref()?;
        // By both clocks: the one may be set, the other stands still while a machine sleeps.
        let ended =
            held.ends <= Instant::now() || held.token.expires_on <= OffsetDateTime::now_utc();
        (!ended).then_some(&held.token)
    }

    fn is_refresh_due(&self) -> bool {
        let due = self
            .held
            .as_ref()
            .is_some_and(|held| held.refresh_at <= Instant::now());
        due && self.begun == self.ended
    }

    fn end(&mut self, fetched: Result<AccessToken, TokenError>) {
        self.ended = self.begun;
        let now = Instant::now();
        match fetched.and_then(|token| Ok((life(&token)?, token))) {
            Ok((life, token)) => {
                self.held = Some(Held {
                    token,
                    ends: now + life,
                    // An identity endpoint keeps tokens too, and may answer with the same one again: then half of what
                    // is left of it.
                    refresh_at: now + (life / 2).max(FIRST_PAUSE),
                });
                (self.failure, self.pause) = (None, None);
            }
            Err(failure) => {
                let pause = self
                    .pause
                    .map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
                let is_held = self.good().is_some();
                warn!(
                    error = %failure,
                    token.held = is_held,
                    retry.seconds = pause.as_secs(),
                    "a token could not be fetched"
                );
                if let Some(held) = &mut self.held {
                    held.refresh_at = now + pause;
                }
                (self.failure, self.pause) = (Some(failure), Some(pause));
            }
        }
    }
}

impl Slot {
    /// Begins a fetch where none is under way. Returns the number that [`State::ended`] reaches with it.
    fn begin(self: &Arc<Self>, inner: &Arc<dyn TokenCredential>) -> u64 {
        let mut fetch = 0;
        let is_new = self.state.send_if_modified(|state| {
            let is_new = state.begun == state.ended;
            state.begun += u64::from(is_new);
            fetch = state.begun;
            is_new
        });
        if is_new {
            let fetching = Fetching {
                slot: Arc::clone(self),
                fetched: Err(TokenError::broken_off()),
            };
            tokio::spawn(fetching.run(Arc::clone(inner)));
        }
        fetch
    }
}

/// A fetch under way. It tells how it ended also where its task is broken off: nobody must wait for it for ever.
struct Fetching {
    slot: Arc<Slot>,
    fetched: Result<AccessToken, TokenError>,
}

impl Fetching {
    async fn run(mut self, inner: Arc<dyn TokenCredential>) {
        let scopes: Vec<&str> = self.slot.scopes.iter().map(String::as_str).collect();
        self.fetched = match timeout(FETCH_TIMEOUT, inner.get_token(&scopes, None)).await {
            Ok(answer) => answer.map_err(|error| TokenError::of(&error)),
            Err(_) => Err(TokenError::later(format!(
                "no answer within {} s",
                FETCH_TIMEOUT.as_secs()
            ))),
        };
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let fetched = std::mem::replace(&mut self.fetched, Err(TokenError::broken_off()));
        self.slot.state.send_modify(|state| state.end(fetched));
    }
}

impl TokenError {
    /// The one that an SDK's error comes of, if it does.
    pub fn behind<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Self> {
        chain(error).find_map(|error| error.downcast_ref())
    }

    /// As what a store says of it.
    pub(in crate::stores) fn in_store(&self, operation: &'static str) -> StoreError {
        StoreError {
            operation,
            message: self.to_string(),
            transient: self.transient,
        }
    }

    fn later(message: String) -> Self {
        Self {
            message,
            transient: true,
        }
    }

    fn broken_off() -> Self {
        Self::later("the fetch was broken off".to_owned())
    }

    /// Only the status of an answer is kept, and the identity library's own words where there was none.
    fn of(error: &Error) -> Self {
        let errors = || chain(error).filter_map(|error| error.downcast_ref::<Error>());
        if let Some(status) = errors().find_map(Error::http_status) {
            return Self {
                message: format!("the identity endpoint answered {}", u16::from(status)),
                transient: !matches!(
                    status,
                    StatusCode::BadRequest | StatusCode::Unauthorized | StatusCode::Forbidden
                ),
            };
        }
        let Some(first) = errors().last() else {
            return Self::broken_off();
        };
        if *first.kind() != ErrorKind::Credential || first.source().is_some() {
            return Self::later(format!("{} error at the identity endpoint", first.kind()));
        }
        const MOST: usize = 300;
        let text = error.to_string();
        let words: Vec<&str> = text.split_whitespace().collect();
        Self {
            message: words.join(" ").chars().take(MOST).collect(),
            transient: false,
        }
    }
}

/// As what a credential's caller gets.
impl From<TokenError> for Error {
    fn from(failure: TokenError) -> Self {
        let message = failure.to_string();
        Self::with_error(ErrorKind::Credential, failure, message)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// How long a token is still good.
fn life(token: &AccessToken) -> Result<Duration, TokenError> {
    let left = Duration::try_from(token.expires_on - OffsetDateTime::now_utc());
    left.map_err(|_| TokenError::later("the token that came has ended already".to_owned()))
}

fn chain<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
#[path = "caching_tests.rs"]
mod tests;
