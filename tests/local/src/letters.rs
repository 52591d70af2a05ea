//! What the queue of dead letters holds: letters, and messages that point at a blob with many of them.

use serde_json::Value;

use crate::azurite::{StorageAccount, StorageError};
use crate::system::DEAD_LETTERS;

/// How many letters a message stands for.
#[must_use]
pub fn count(message: &str) -> u64 {
    let message: Value = serde_json::from_str(message).unwrap_or_default();
    message["letters"].as_u64().unwrap_or(1)
}

/// The letters of a message, in their order: itself, or the lines of its blob. What is no JSON is `null`.
///
/// # Errors
/// Where the blob cannot be read.
pub async fn read(storage: &StorageAccount, message: &str) -> Result<Vec<Value>, StorageError> {
    let message: Value = serde_json::from_str(message).unwrap_or_default();
    let Some(blob) = message["lettersBlob"].as_str() else {
        return Ok(vec![message]);
    };
    let lines = storage.read_blob(DEAD_LETTERS, blob).await?;
    let lines = lines.split(|byte| *byte == b'\n');
    let letters = lines.filter(|line| !line.is_empty());
    Ok(letters
        .map(|line| serde_json::from_slice(line).unwrap_or_default())
        .collect())
}

/// `<partition>:<sequence number>` of a letter: the event, as long as its hub is not made anew.
#[must_use]
pub fn event(letter: &Value) -> Option<String> {
    let partition = letter["partitionId"].as_str()?;
    let number = letter["sequenceNumber"].as_i64()?;
    Some(format!("{partition}:{number}"))
}
