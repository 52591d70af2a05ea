//! How much one client, and all of them together, may ask of the hub.

use std::time::Duration;

/// Bounds of everything that a client can make grow or last.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time. Beyond it the oldest that has not said yet what it wants makes room; where all have, the new one is closed.
    pub connections: usize,
    /// How long a connection may take until it is open.
    pub handshake: Duration,
    /// The idle time-out that clients are told of. Whoever is silent for twice as long is cut off.
    pub idle: Duration,
    /// The longest that a client with an idle time-out hears nothing. .NET's gives up before its own time-out is over.
    pub heartbeat: Duration,
    /// The largest frame, either way.
    pub frame_bytes: u32,
    /// Sessions of a connection.
    pub sessions: u16,
    /// Links of a connection, over all its sessions.
    pub links: usize,
    /// What a connection may have sent of events that are not complete.
    pub partial_bytes: usize,
    /// What waits to be sent to a client before nothing more is read from it. Events wait in the log instead, from a quarter of it on.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 500,
            handshake: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            heartbeat: Duration::from_secs(10),
            frame_bytes: 64 * 1024,
            sessions: 512,
            links: 1_024,
            partial_bytes: 8 * 1024 * 1024,
            output_bytes: 1024 * 1024,
        }
    }
}

/// The smallest frame that a client must be able to take, AMQP 1.0, 2.4.1.
pub(super) const LEAST_FRAME_BYTES: u32 = 512;

/// Messages that a sender may send ahead.
pub(super) const PUBLISHER_CREDIT: u32 = 1_000;

/// Frames of messages that a session may send ahead.
pub(super) const INCOMING_WINDOW: u32 = 5_000;

/// Answers that wait for a client to ask for them.
pub(super) const WAITING_ANSWERS: usize = 64;

/// Events of one reader before the next one has its turn.
pub(super) const TURN_EVENTS: usize = 64;
