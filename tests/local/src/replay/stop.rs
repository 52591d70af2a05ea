//! The wish to stop, looked at between events.

use tokio::sync::watch;

/// Clones share one wish.
#[derive(Debug, Clone)]
pub struct Stop(watch::Sender<bool>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Stop {
    /// Asks to stop.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Whether somebody has asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once somebody asks.
    pub async fn requested(&self) {
        // The sender lives as long as this.
        _ = self.0.subscribe().wait_for(|requested| *requested).await;
    }
}
