//! The one signal that everything in the process stops on.

use tokio::sync::watch;

/// Where the signal is given.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

/// Where the signal is heard. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and what hears it. Dropping the trigger gives the signal, too.
pub fn shutdown() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger(sender), Shutdown(receiver))
}

impl ShutdownTrigger {
    /// Gives the signal. Giving it twice changes nothing.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns once the signal was given, at once if it was given before.
    pub async fn wait(&mut self) {
        // An error means that the trigger is gone, which is a signal, too.
        let _ = self.0.wait_for(|given| *given).await;
    }

    /// Whether the signal was given.
    pub fn is_given(&self) -> bool {
        *self.0.borrow()
    }
}

/// Returns when the process is asked to end: SIGTERM, or SIGINT (Ctrl-C).
pub async fn termination() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
