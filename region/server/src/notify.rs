//! Tells a service manager how the process is (sd_notify(3)): ready, or ending.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// What the service manager is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// Requests are answered.
    Ready,
    /// The process was asked to end.
    Stopping,
}

/// Tells the service manager, if one has started the process and wants to know. That it cannot be told changes nothing.
pub(crate) fn notify(state: State) {
    if let Err(error) = try_to(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

fn try_to(state: State) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let text = match state {
        State::Ready => "READY=1",
        State::Stopping => "STOPPING=1",
    };
    // A name that begins with @ is an abstract one.
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address)?;
    Ok(())
}
