//! Time is paused: no test waits for it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use azure_core::http::{RawResponse, headers::Headers};
use futures_util::future::join_all;
use tokio::time::{advance, sleep};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const SCOPE: &[&str] = &["https://cosmos.azure.com/.default"];

/// What an identity endpoint does at the moment.
#[derive(Debug, Clone, Copy)]
enum Mood {
    /// A new token of an hour, after a second.
    Well,
    /// Always the same token, as one that keeps tokens answers.
    Same,
    Down,
    Hangs,
    Panics,
}

/// Each fetch gets a token named after its number.
#[derive(Debug)]
struct Endpoint {
    mood: Mutex<Mood>,
    fetches: AtomicUsize,
    began: (Instant, OffsetDateTime),
}

impl Endpoint {
    fn new(mood: Mood) -> (Arc<Self>, CachingCredential) {
        let endpoint = Arc::new(Self {
            mood: Mutex::new(mood),
            fetches: AtomicUsize::new(0),
            began: (Instant::now(), OffsetDateTime::now_utc()),
        });
        (Arc::clone(&endpoint), CachingCredential::new(endpoint))
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl TokenCredential for Endpoint {
    async fn get_token(
        &self,
        scopes: &[&str],
        _options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let number = self.fetches.fetch_add(1, Ordering::Relaxed) + 1;
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well => {
                sleep(Duration::from_secs(1)).await;
                let name = format!("{} {number}", scopes.join(" "));
                Ok(AccessToken::new(name, OffsetDateTime::now_utc() + HOUR))
            }
            // The wall clock stands still in these tests, and this token's life does not.
            Mood::Same => {
                let left = HOUR - self.began.0.elapsed();
                Ok(AccessToken::new("the same", self.began.1 + left))
            }
            Mood::Down => Err(io_error()),
            Mood::Hangs => std::future::pending().await,
            Mood::Panics => panic!("as told"),
        }
    }
}

fn io_error() -> Error {
    let cause = Error::with_error(ErrorKind::Io, io::Error::other("reset"), "reset");
    Error::with_error(
        ErrorKind::Credential,
        cause,
        "ManagedIdentityCredential failed",
    )
}

/// The number of the token that a call gets.
async fn token(credential: &CachingCredential) -> Result<String, TokenError> {
    let answer = credential.get_token(SCOPE, None).await;
    let name = answer.map(|token| token.token.secret().to_owned());
    name.map(|name| name.rsplit(' ').next().unwrap_or_default().to_owned())
        .map_err(|error| {
            TokenError::behind(&error)
                .expect("the store must know it")
                .clone()
        })
}

/// Lets what runs in the background come as far as it can.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_must_wait_share_one_fetch() {
    let (endpoint, credential) = Endpoint::new(Mood::Well);
    let tokens = join_all((0..1_000).map(|_| token(&credential))).await;
    assert!(tokens.iter().all(|token| token.as_deref() == Ok("1")));
    assert_eq!(token(&credential).await.as_deref(), Ok("1"));
    assert_eq!(endpoint.fetches(), 1);

    let other = credential
        .get_token(&["https://storage.azure.com/.default"], None)
        .await;
    assert_eq!(
        other.unwrap().token.secret(),
        "https://storage.azure.com/.default 2"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_does_not_break_the_fetch_off() {
    let (endpoint, credential) = Endpoint::new(Mood::Well);
    let short = Duration::from_millis(10);
    timeout(short, token(&credential))
        .await
        .expect_err("it takes a second");
    assert_eq!(token(&credential).await.as_deref(), Ok("1"));
    assert_eq!(endpoint.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_is_refreshed_by_one_task_while_the_old_one_is_served() {
    let (endpoint, credential) = Endpoint::new(Mood::Well);
    token(&credential).await.unwrap();
    advance(HOUR / 2 - Duration::from_secs(1)).await;
    assert_eq!(token(&credential).await.as_deref(), Ok("1"));
    settle().await;
    assert_eq!(endpoint.fetches(), 1, "in the first half of its life");

    advance(Duration::from_secs(1)).await;
    let asked = Instant::now();
    let tokens = join_all((0..1_000).map(|_| token(&credential))).await;
    assert!(tokens.iter().all(|token| token.as_deref() == Ok("1")));
    assert_eq!(asked.elapsed(), Duration::ZERO, "nobody waits");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(token(&credential).await.as_deref(), Ok("2"));
    assert_eq!(endpoint.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_begins_to_fail_is_felt_when_the_token_has_ended() {
    let (endpoint, credential) = Endpoint::new(Mood::Well);
    token(&credential).await.unwrap();
    let began = Instant::now();
    endpoint.becomes(Mood::Down);
    advance(HOUR / 2).await;
    // A request a second: tried after 0, 1, 3, 7, 15, 31, 63 s, and each minute then.
    while began.elapsed() < HOUR {
        assert_eq!(token(&credential).await.as_deref(), Ok("1"));
        settle().await;
        advance(Duration::from_secs(1)).await;
    }
    let tries = endpoint.fetches() - 1;
    assert!((30..=37).contains(&tries), "{tries} tries in half an hour");

    let error = token(&credential).await.expect_err("it has ended");
    assert!(error.transient, "{error}");
    assert_eq!(
        error.to_string(),
        "no token for Azure: Io error at the identity endpoint"
    );

    endpoint.becomes(Mood::Well);
    let token = token(&credential).await;
    assert_eq!(
        token,
        Ok(endpoint.fetches().to_string()),
        "as soon as there is one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_hangs_is_given_up_and_holds_nobody() {
    let (endpoint, credential) = Endpoint::new(Mood::Well);
    token(&credential).await.unwrap();
    endpoint.becomes(Mood::Hangs);
    advance(HOUR / 2).await;
    let asked = Instant::now();
    assert_eq!(token(&credential).await.as_deref(), Ok("1"));
    assert_eq!(token(&credential).await.as_deref(), Ok("1"));
    assert_eq!(asked.elapsed(), Duration::ZERO);
    settle().await;
    endpoint.becomes(Mood::Well);
    sleep(FETCH_TIMEOUT + FIRST_PAUSE).await;
    assert_eq!(
        token(&credential).await.as_deref(),
        Ok("1"),
        "which begins the next try"
    );
    sleep(Duration::from_secs(2)).await;
    assert_eq!(token(&credential).await.as_deref(), Ok("3"));
}

#[tokio::test(start_paused = true)]
async fn a_first_fetch_that_hangs_or_dies_ends_for_all_who_wait() {
    let (endpoint, credential) = Endpoint::new(Mood::Hangs);
    let asked = Instant::now();
    let errors = join_all((0..10).map(|_| token(&credential))).await;
    assert!(
        errors
            .iter()
            .all(|error| matches!(error, Err(error) if error.transient))
    );
    assert_eq!(asked.elapsed(), FETCH_TIMEOUT);
    assert_eq!(endpoint.fetches(), 1);

    endpoint.becomes(Mood::Panics);
    assert!(token(&credential).await.expect_err("it died").transient);
    endpoint.becomes(Mood::Well);
    assert_eq!(token(&credential).await.as_deref(), Ok("3"));
}

#[tokio::test(start_paused = true)]
async fn the_same_token_again_is_asked_for_less_than_twenty_times() {
    let (endpoint, credential) = Endpoint::new(Mood::Same);
    let began = Instant::now();
    while began.elapsed() < HOUR {
        assert_eq!(token(&credential).await.as_deref(), Ok("same"));
        settle().await;
        advance(Duration::from_secs(1)).await;
    }
    assert!(endpoint.fetches() < 20, "{} times", endpoint.fetches());
}

#[test]
fn what_no_retry_mends_is_told_apart() {
    let answered = |status: StatusCode| {
        let kind = ErrorKind::HttpResponse {
            status,
            error_code: None,
            raw_response: Some(Box::new(RawResponse::from_bytes(
                status,
                Headers::new(),
                "secret",
            ))),
        };
        let cause = Error::with_message(kind, "The request failed: secret");
        Error::with_error(ErrorKind::Credential, cause, "failed: secret")
    };
    for (status, transient) in [
        (StatusCode::BadRequest, false),
        (StatusCode::Unauthorized, false),
        (StatusCode::Forbidden, false),
        (StatusCode::NotFound, true),
        (StatusCode::Gone, true),
        (StatusCode::TooManyRequests, true),
        (StatusCode::InternalServerError, true),
        (StatusCode::BadGateway, true),
    ] {
        let error = TokenError::of(&answered(status));
        assert_eq!(error.transient, transient, "{error}");
        let text = format!("the identity endpoint answered {}", u16::from(status));
        assert_eq!(error.message, text);
    }
    assert!(TokenError::of(&io_error()).transient);
    let not_started = Error::with_error(ErrorKind::Credential, io::Error::other("x"), "no sh");
    assert!(TokenError::of(&not_started).transient);

    let signed_out = Error::with_message(ErrorKind::Credential, "Please run\n  'az login'");
    let error = TokenError::of(&signed_out);
    assert_eq!(
        error.to_string(),
        "no token for Azure: Please run 'az login'"
    );
    assert!(!error.transient);
}
