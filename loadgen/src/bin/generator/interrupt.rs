//! Ctrl-C and SIGTERM break a run off; a second one ends the program.

use std::io;

use crossbeam_channel::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of what a signal ended.
pub(crate) const CODE: u8 = 130;

/// Listens from now on, on a thread of its own. Fails if signals cannot be listened to.
pub(crate) fn listen() -> io::Result<Receiver<()>> {
    let (told, interrupts) = crossbeam_channel::bounded(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            one(&mut interrupt, &mut terminate).await;
            eprintln!("breaking off; what was measured is kept. Once more, and it is not");
            // Nobody listens any more: the run has ended by itself.
            let _ = told.send(());
            one(&mut interrupt, &mut terminate).await;
            std::process::exit(i32::from(CODE));
        });
    })?;
    Ok(interrupts)
}

async fn one(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
