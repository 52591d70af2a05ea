//! The queue trigger: one message a call.

use std::borrow::Cow;
use std::fmt;

use axum::extract::{FromRequest, Request};
use base64::Engine;
use serde::de::DeserializeOwned;
use serde::de::value::StrDeserializer;
use time::UtcDateTime;

use crate::body;
use crate::encoded::BASE64;
use crate::envelope::{Envelope, EnvelopeError, fault};
use crate::error::CallError;
use crate::function_json::DataType;
use crate::json::{Members, scalar};
use crate::timestamp::parse_utc;

/// The extractor of a queue trigger.
///
/// `T` is read from the message's JSON. A `T` that can be read from a string, such as `String`, takes
/// text that is not JSON too. A message that cannot be read as `T` fails the call; after
/// `maxDequeueCount` failures the host moves it to the poison queue. To decide otherwise, extract
/// `QueueMessage<serde_json::Value>` or `QueueMessage<String>` and read its `text`.
///
/// The host copies the top-level properties of a JSON message into the metadata, where they overwrite
/// the queue's own: a message `{"Id": 7}` has lost its message id. Such values are not given here as if
/// they were the queue's.
#[derive(Clone)]
pub struct QueueMessage<T> {
    /// The message, parsed.
    pub body: T,
    /// The message, as it was put on the queue.
    pub text: String,
    /// The message's id; `None` where the message itself has a property `Id`.
    pub id: Option<String>,
    /// How often the message has been handed out, this time included; 0 where the message itself has a
    /// property `DequeueCount`.
    pub dequeue_count: u32,
    /// When it was put on the queue.
    pub insertion_time: Option<UtcDateTime>,
    /// When it would be dropped.
    pub expiration_time: Option<UtcDateTime>,
    /// When it would be handed out again.
    pub next_visible_time: Option<UtcDateTime>,
}

impl<T> fmt::Debug for QueueMessage<T> {
    /// Without the message, which is not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueMessage")
            .field("id", &self.id)
            .field("dequeue_count", &self.dequeue_count)
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for QueueMessage<T> {
    type Rejection = CallError;

    async fn from_request(request: Request, _: &S) -> Result<Self, CallError> {
        let (context, body) = body::read(request).await?;
        let trigger = &context.function.trigger;
        let envelope = Envelope::parse(&body).map_err(CallError::from_error)?;
        let text =
            text(&envelope, &trigger.name, trigger.data_type).map_err(CallError::from_error)?;
        let body = parse(&text)?;
        let own = Members::parse(&text).unwrap_or_default();
        let metadata = |name: &str| -> Option<Cow<'_, str>> {
            let overwritten = own
                .iter()
                .any(|(member, _)| member.eq_ignore_ascii_case(name));
            (!overwritten)
                .then(|| envelope.metadata.text(name))
                .flatten()
        };
        let time = |name| metadata(name).and_then(|text| parse_utc(&text));
        let (insertion_time, expiration_time, next_visible_time) = (
            time("InsertionTime"),
            time("ExpirationTime"),
            time("NextVisibleTime"),
        );
        let id = metadata("Id").map(Cow::into_owned);
        let dequeue_count = metadata("DequeueCount").and_then(|text| text.parse().ok());
        Ok(Self {
            body,
            id,
            dequeue_count: dequeue_count.unwrap_or(0),
            insertion_time,
            expiration_time,
            next_visible_time,
            text,
        })
    }
}

fn text(
    envelope: &Envelope<'_>,
    binding: &str,
    data_type: Option<DataType>,
) -> Result<String, EnvelopeError> {
    let text = scalar(envelope.data(binding)?).into_owned();
    if data_type != Some(DataType::Binary) {
        return Ok(text);
    }
    let bytes = BASE64.decode(&text).map_err(|_| {
        EnvelopeError::Other("the message is not valid base64, though function.json says `binary`")
    })?;
    String::from_utf8(bytes).map_err(|_| EnvelopeError::Other("the message is not UTF-8"))
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, CallError> {
    let wrong = match serde_json::from_str(text) {
        Ok(body) => return Ok(body),
        Err(error) => error,
    };
    let plain = StrDeserializer::<serde::de::value::Error>::new(text);
    T::deserialize(plain).map_err(|_| {
        // Not the parser's own text, which may quote the message.
        CallError::new(format!(
            "the queue message cannot be read: {} at line {}, column {}",
            fault(&wrong),
            wrong.line(),
            wrong.column()
        ))
    })
}
