//! The timer trigger.

use axum::extract::{FromRequest, Request};
use time::UtcDateTime;

use crate::body;
use crate::envelope::{Envelope, EnvelopeError};
use crate::error::CallError;
use crate::json::{Members, unwrapped};
use crate::timestamp::parse_utc;

/// The extractor of a timer trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerInfo {
    /// Whether the call comes later than scheduled, because no instance was running then.
    pub is_past_due: bool,
    /// When it ran and will run; `None` where the host does not monitor the schedule.
    pub schedule_status: Option<ScheduleStatus>,
}

/// When a timer ran, and when it will run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleStatus {
    /// The last run; `None` before the first, which the host writes as a time in the year 1.
    pub last: Option<UtcDateTime>,
    /// The next run.
    pub next: Option<UtcDateTime>,
    /// When this was last written down.
    pub last_updated: Option<UtcDateTime>,
}

impl<S: Sync> FromRequest<S> for TimerInfo {
    type Rejection = CallError;

    async fn from_request(request: Request, _: &S) -> Result<Self, CallError> {
        let (context, body) = body::read(request).await?;
        read(&context.function.trigger.name, &body).map_err(CallError::from_error)
    }
}

fn read(binding: &str, body: &[u8]) -> Result<TimerInfo, EnvelopeError> {
    let wrong = |error| EnvelopeError::json("the timer", &error);
    let envelope = Envelope::parse(body)?;
    let text = unwrapped(envelope.data(binding)?);
    let timer = Members::parse(&text).map_err(wrong)?;
    let schedule_status = match timer.get("ScheduleStatus") {
        None => None,
        Some(status) => {
            let text = unwrapped(status);
            let status = Members::parse(&text).map_err(wrong)?;
            let time = |name| {
                let at = status.text(name).and_then(|text| parse_utc(&text));
                at.filter(|at| at.year() > 1)
            };
            Some(ScheduleStatus {
                last: time("Last"),
                next: time("Next"),
                last_updated: time("LastUpdated"),
            })
        }
    };
    Ok(TimerInfo {
        is_past_due: timer
            .text("IsPastDue")
            .is_some_and(|text| text.eq_ignore_ascii_case("true")),
        schedule_status,
    })
}
