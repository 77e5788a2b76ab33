//! Points at which a test lets a process die. In a real build there is nothing here.

#[cfg(not(any(test, ipc_loom)))]
pub(crate) use nobody_dies::*;

#[cfg(any(test, ipc_loom))]
pub(crate) use doomed::*;

#[cfg(not(any(test, ipc_loom)))]
mod nobody_dies {
    /// Called between any two steps of a critical section.
    #[inline(always)]
    #[expect(clippy::unnecessary_wraps, reason = "a model dies by returning")]
    pub(crate) fn may_die() -> std::io::Result<()> {
        Ok(())
    }

    /// Whether this thread has died, and what it holds is to be treated as the kernel would.
    #[inline(always)]
    pub(crate) fn has_died() -> bool {
        false
    }
}

#[cfg(any(test, ipc_loom))]
mod doomed {
    use std::cell::Cell;

    #[cfg(ipc_loom)]
    use loom::thread_local;

    #[allow(clippy::missing_const_for_thread_local, reason = "loom's has no const")]
    mod points {
        use super::Cell;
        #[cfg(ipc_loom)]
        use super::thread_local;

        thread_local! {
            pub(super) static POINTS_LEFT: Cell<u32> = Cell::new(u32::MAX);
        }
    }
    use points::POINTS_LEFT;

    const DEAD: u32 = u32::MAX - 1;

    /// Lets this thread pass `points` points, and die at the next.
    pub(crate) fn die_after(points: u32) {
        POINTS_LEFT.with(|left| left.set(points));
    }

    pub(crate) fn has_died() -> bool {
        POINTS_LEFT.with(Cell::get) == DEAD
    }

    pub(crate) fn may_die() -> std::io::Result<()> {
        POINTS_LEFT.with(|left| match left.get() {
            u32::MAX => Ok(()),
            0 => {
                left.set(DEAD);
                die()
            }
            points => {
                left.set(points - 1);
                Ok(())
            }
        })
    }

    /// Stops here, to be killed; the parent may first let others come and wait.
    #[cfg(not(ipc_loom))]
    fn die() -> std::io::Result<()> {
        let pid = rustix::process::getpid();
        // The signal is acted on before the system call returns.
        rustix::process::kill_process(pid, rustix::process::Signal::STOP)?;
        unreachable!("only to be killed")
    }

    /// A thread of a model dies by returning; what it holds asks [`has_died`].
    #[cfg(ipc_loom)]
    fn die() -> std::io::Result<()> {
        Err(std::io::Error::other("killed"))
    }
}
