//! The Event Hubs trigger: one listener for each function and partition, one batch in flight, in order.

use std::sync::Arc;

use time::UtcDateTime;

use super::attempts::Attempts;
use super::envelope::event_hub::PartitionEnvelope;
use super::error::CallFailure;
use super::function_json::{EventHubTrigger, Function};
use super::host_json::EventHubsOptions;
use super::invoker::{Call, Invoker};
use super::journal::{BatchDone, HostEvent};
use super::partition_reader::PartitionReader;
use crate::hub::{Hub, StoredEvent};

pub(crate) struct EventHubListener {
    function: Arc<Function>,
    name: Arc<str>,
    partition: u16,
    many: bool,
    envelope: PartitionEnvelope,
    reader: PartitionReader,
    invoker: Arc<Invoker>,
}

impl EventHubListener {
    /// `None` for a partition that does not exist.
    pub(crate) fn new(
        function: &Arc<Function>,
        trigger: &EventHubTrigger,
        partition: u16,
        hub: &Hub,
        options: EventHubsOptions,
        invoker: &Arc<Invoker>,
    ) -> Option<Self> {
        hub.join(&trigger.consumer_group);
        Some(Self {
            function: Arc::clone(function),
            name: function.name.as_str().into(),
            partition,
            many: trigger.many,
            envelope: PartitionEnvelope::new(trigger, partition),
            reader: PartitionReader::new(hub, &trigger.consumer_group, partition, options)?,
            invoker: Arc::clone(invoker),
        })
    }

    /// Calls the function for batch after batch, for ever. Aborting it in mid-call leaves the batch without a checkpoint, as a host
    /// does that is stopped.
    pub(crate) async fn run(mut self) {
        loop {
            let batch = self.reader.next_batch().await;
            if self.many {
                self.call(&batch).await;
            } else {
                for event in &batch {
                    self.call(std::slice::from_ref(event)).await;
                }
            }
            // Whether it succeeded or failed: without a retry policy a failed batch is lost, in the real host too.
            self.reader.done(&batch);
        }
    }

    /// Calls until it succeeds or the retry policy gives up.
    async fn call(&self, events: &[Arc<StoredEvent>]) {
        let mut attempts = Attempts::new(&self.function, Some(self.partition), &self.invoker);
        loop {
            let Err(failure) = self.attempt(events, &attempts).await else {
                return self.succeeded(events, attempts.number);
            };
            if !attempts.again_after(failure).await {
                return self.lost(events);
            }
        }
    }

    async fn attempt(
        &self,
        events: &[Arc<StoredEvent>],
        attempts: &Attempts<'_>,
    ) -> Result<(), CallFailure> {
        if events.iter().any(|event| event.is_amqp_value()) {
            return Err(CallFailure::Binding(self.envelope.binding().to_owned()));
        }
        let context = attempts.context();
        let envelope = match events {
            [event] if !self.many => self.envelope.one(event, &context),
            _ => self
                .envelope
                .many(events, &context)
                .map_err(CallFailure::Input)?,
        };
        let call = Call {
            invocation_id: attempts.invocation_id,
            envelope,
            events: events.len(),
        };
        self.invoker.invoke(&self.function, call).await.map(drop)
    }

    fn succeeded(&self, events: &[Arc<StoredEvent>], attempts: u32) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return;
        };
        let journal = self.invoker.journal();
        journal.update(&self.name, |stats| stats.events += events.len() as u64);
        journal.tell(HostEvent::BatchDone(BatchDone {
            function: Arc::clone(&self.name),
            partition: self.partition,
            first: first.sequence_number,
            last: last.sequence_number,
            enqueued_at: events.iter().map(|event| event.enqueued_at).collect(),
            finished_at: UtcDateTime::now(),
            attempts,
        }));
    }

    fn lost(&self, events: &[Arc<StoredEvent>]) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return;
        };
        let journal = self.invoker.journal();
        journal.update(&self.name, |stats| stats.lost_events += events.len() as u64);
        journal.log.host(&format!(
            "{} lost the events {} to {} of partition {}: the call failed and is not made again",
            self.name, first.sequence_number, last.sequence_number, self.partition
        ));
        journal.tell(HostEvent::EventsLost {
            function: Arc::clone(&self.name),
            partition: self.partition,
            first: first.sequence_number,
            last: last.sequence_number,
        });
    }
}

#[cfg(test)]
#[path = "event_hub_listener_tests.rs"]
mod tests;
