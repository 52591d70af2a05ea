//! The body of a call: `{"Data": {…}, "Metadata": {…}}`, written to the letter of what the real host sends.

pub(crate) mod event_hub;
pub(crate) mod http;
pub(crate) mod queue;
pub(crate) mod timer;

use time::UtcDateTime;
use uuid::Uuid;

use super::clock::{self, Zone};
use super::json_text::{escape_into, string_into};

/// What is known of a call when its envelope is written.
pub(crate) struct CallContext<'a> {
    pub function: &'a str,
    pub now: UtcDateTime,
    /// Where the function has a retry policy.
    pub retry: Option<RetryContext<'a>>,
}

/// `Metadata.RetryContext`.
pub(crate) struct RetryContext<'a> {
    /// 0 at the first attempt.
    pub retry_count: u32,
    /// -1 for ever.
    pub max_retry_count: i64,
    /// Why the attempt before failed.
    pub last_failure: Option<&'a str>,
}

/// Opens the envelope, up to the value of the one member of `Data`.
fn begin(out: &mut String, binding: &str) {
    out.push_str("{\"Data\":{");
    string_into(out, binding);
    out.push(':');
}

/// Closes `Data` and opens `Metadata`.
fn begin_metadata(out: &mut String) {
    out.push_str("},\"Metadata\":{");
}

/// Writes what every call has at the end of its metadata, and closes the envelope. Every member before must end in a comma.
fn end(out: &mut String, call: &CallContext<'_>) {
    if let Some(retry) = &call.retry {
        write_retry_context(out, call.function, retry);
    }
    out.push_str("\"sys\":{\"MethodName\":");
    string_into(out, call.function);
    out.push_str(",\"UtcNow\":\"");
    clock::write_fraction(out, call.now, Zone::Z);
    out.push_str("\",\"RandGuid\":\"");
    out.push_str(
        Uuid::new_v4()
            .hyphenated()
            .encode_lower(&mut Uuid::encode_buffer()),
    );
    out.push_str("\"}}}");
}

fn write_retry_context(out: &mut String, function: &str, retry: &RetryContext<'_>) {
    out.push_str(&format!(
        "\"RetryContext\":{{\"RetryCount\":{},\"MaxRetryCount\":{},\"Exception\":",
        retry.retry_count, retry.max_retry_count
    ));
    match retry.last_failure {
        None => out.push_str("null"),
        Some(failure) => write_exception(out, function, failure),
    }
    out.push_str(",\"Instance\":null,\"State\":{}},");
}

/// A serialized .NET exception with its stack trace: large, as the real one is, so that nobody counts on a small envelope.
fn write_exception(out: &mut String, function: &str, failure: &str) {
    out.push_str("{\"ClassName\":\"Microsoft.Azure.WebJobs.Host.FunctionInvocationException\",\"Message\":\"Exception while executing function: Functions.");
    escape_into(out, function);
    out.push_str("\",\"InnerException\":{\"ClassName\":\"System.Exception\",\"Message\":");
    string_into(out, failure);
    out.push_str("},\"StackTraceString\":\"");
    for depth in 0..STACK_FRAMES {
        out.push_str(&format!(
            "   at Microsoft.Azure.WebJobs.Host.Executors.FunctionExecutor.ExecuteAsync(IFunctionInstance instance, CancellationToken token) frame {depth}\\n"
        ));
    }
    out.push_str("\"}");
}

const STACK_FRAMES: usize = 24;
