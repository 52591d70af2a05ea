//! Reads, writes and waits for one client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::error::LIMIT;
use super::limits::Limits;
use super::protocol::Protocol;
use crate::hub::Hub;

/// How long a client may take to read the last word.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long events gather that come close upon others. Waking and writing for each would cost more than the events do.
const GATHER: Duration = Duration::from_millis(5);

/// What is read of a client that sends little, and of one that sends much.
const FEW_BYTES: usize = 4 * 1024;
const MANY_BYTES: usize = 64 * 1024;

/// Serves a client until it goes, or has to. `opened` is told once it is known to be a client.
pub(super) async fn serve(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    hub: &Hub,
    limits: Limits,
    opened: &AtomicBool,
) {
    let mut protocol = Protocol::new(hub, limits);
    let bell = protocol.bell();
    let mut input = BytesMut::new();
    let mut sending: Vec<u8> = Vec::new();
    let mut sent = 0;
    let begun = Instant::now();
    let (mut heard, mut spoke) = (begun, begun);
    let mut appetite = FEW_BYTES;
    let mut is_open = false;
    let (mut rung, mut looked) = (false, begun);
    while !protocol.is_closed() {
        protocol.deliver();
        if sent == sending.len() && !protocol.output().is_empty() {
            sending.clear();
            sent = 0;
            // What was a large buffer for once is given back.
            if sending.capacity() > 2 * limits.output_bytes {
                sending = Vec::new();
            }
            std::mem::swap(&mut sending, protocol.output());
        }
        if !is_open && protocol.is_open() {
            is_open = true;
            opened.store(true, Ordering::Release);
        }
        let silence = match is_open {
            true => heard + limits.idle * 2,
            false => begun + limits.handshake,
        };
        // Three times within what it bears.
        let beat = protocol
            .peer_idle()
            .map(|idle| spoke + (idle / 3).min(limits.heartbeat));
        let next = beat.map_or(silence, |beat| beat.min(silence));
        let waiting = sending.len() - sent + protocol.output().len();
        input.reserve(appetite);
        tokio::select! {
            written = writer.write(&sending[sent..]), if sent < sending.len() => match written {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    sent += count;
                    spoke = Instant::now();
                }
            },
            read = reader.read_buf(&mut input), if waiting < limits.output_bytes => match read {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    heard = Instant::now();
                    appetite = if count < FEW_BYTES { FEW_BYTES } else { MANY_BYTES };
                }
            },
            () = bell.wait(), if !rung => rung = true,
            () = sleep_until(looked + GATHER), if rung => {
                protocol.rung();
                (rung, looked) = (false, Instant::now());
            }
            () = sleep_until(next) => {
                if Instant::now() < silence {
                    protocol.beat();
                    spoke = Instant::now();
                } else {
                    protocol.close(LIMIT, "nothing was heard within the idle time-out");
                }
            }
        }
        // Also what is left over from a time when there was too much to send.
        if !input.is_empty() {
            protocol.take(&mut input);
        }
    }
    let farewell = async {
        writer.write_all(&sending[sent..]).await?;
        writer.write_all(protocol.output()).await?;
        writer.shutdown().await?;
        // A socket that is closed on bytes that were not read may take the last word with it.
        while reader.read_buf(&mut input).await? > 0 {
            input.clear();
        }
        std::io::Result::Ok(())
    };
    // Who does not listen does not hear it.
    _ = timeout(FAREWELL, farewell).await;
}
