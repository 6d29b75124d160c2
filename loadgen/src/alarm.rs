//! Timers that go off when they are due: the runtime's own wait for the next millisecond but one.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// One timer of the kernel's, waited for in a runtime. Made and used within one.
pub(crate) struct Alarm(AsyncFd<OwnedFd>);

/// A timer that is set to nothing is off: the shortest that can be set.
const SHORTEST: Duration = Duration::from_nanos(1);

impl Alarm {
    /// A timer that is off. Fails where the process has no file descriptors left.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for descriptors that are not owned: this one is, and by nothing else"
    )]
    pub(crate) fn new() -> io::Result<Alarm> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Ok(Alarm(AsyncFd::new(timer)?))
    }

    /// Goes off after `first`, and then again and again after `period`.
    pub(crate) fn set(&self, first: Duration, period: Duration) -> io::Result<()> {
        let new = Itimerspec {
            it_interval: timespec(period)?,
            it_value: timespec(first.max(SHORTEST))?,
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &new)?;
        Ok(())
    }

    /// Waits until it goes off; at once if it has since the last time.
    pub(crate) async fn gone_off(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0_u8; 8])?));
            // Otherwise it was a false alarm.
            if let Ok(read) = read {
                return read.map(|_| ());
            }
        }
    }

    /// Waits for so long.
    pub(crate) async fn sleep(&self, duration: Duration) -> io::Result<()> {
        self.set(duration, Duration::ZERO)?;
        self.gone_off().await
    }
}

fn timespec(duration: Duration) -> io::Result<Timespec> {
    Timespec::try_from(duration).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn it_goes_off_when_it_is_due() {
        let alarm = Alarm::new().unwrap();
        let mut shortest = Duration::MAX;
        for _ in 0..100 {
            let begun = Instant::now();
            alarm.sleep(Duration::from_micros(200)).await.unwrap();
            shortest = shortest.min(begun.elapsed());
        }
        assert!(shortest >= Duration::from_micros(200));
        // The runtime's own timers cannot do that.
        assert!(shortest < Duration::from_millis(1), "{shortest:?}");
        let begun = Instant::now();
        alarm.set(Duration::ZERO, Duration::from_micros(300)).unwrap();
        for _ in 0..5 {
            alarm.gone_off().await.unwrap();
        }
        assert!(begun.elapsed() >= Duration::from_micros(1_200));
    }
}
