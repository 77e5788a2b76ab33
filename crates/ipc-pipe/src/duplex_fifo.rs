//! A named pipe both ways: one name, and a FIFO each way. Leaves out the FIFOs themselves.

use std::path::{Path, PathBuf};

use ipc_core::{Count, Deadline, Direction, LinkProperties, OpenError, Sender};

use crate::{Fifo, FifoOptions, FifoReceiver, FifoSender};

/// A bidirectional named pipe: two FIFOs, whose paths are its own followed by `.to` and `.from`, as seen
/// by the side that calls.
///
/// One process **answers** ([`answer`](Self::answer)), another **calls** ([`call`](Self::call)), in either
/// order; each waits for the other until its deadline.
///
/// ```
/// use ipc_core::{Deadline, Receiver, Sender};
/// use ipc_pipe::DuplexFifo;
///
/// let path = std::env::temp_dir().join(format!("ipc-pipe-duplex-{}", std::process::id()));
/// let fifo = DuplexFifo::create(&path)?;
/// let server = {
///     let fifo = fifo.clone();
///     // In another process, as a rule.
///     std::thread::spawn(move || {
///         let mut link = fifo.answer(Deadline::Never).expect("a caller comes");
///         let mut buffer = [0; 16];
///         let len = link.receiver.recv(&mut buffer).expect("a question").len;
///         link.sender.send(&buffer[..len].to_ascii_uppercase()).expect("sent");
///     })
/// };
/// let mut link = fifo.call(Deadline::Never)?;
/// link.sender.send(b"hello")?;
/// let mut buffer = [0; 16];
/// assert_eq!(link.receiver.recv(&mut buffer)?.len, 5);
/// assert_eq!(&buffer[..5], b"HELLO");
/// server.join().expect("it ends");
/// fifo.unlink()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DuplexFifo {
    path: PathBuf,
    to: Fifo,
    from: Fifo,
}

/// One side of a bidirectional named pipe. Both sides send and receive at once.
#[derive(Debug)]
pub struct DuplexFifoEnds {
    /// Sends to the other side.
    pub sender: FifoSender,
    /// Receives from the other side.
    pub receiver: FifoReceiver,
}

impl DuplexFifoEnds {
    /// What the link is like as a whole: as of its FIFOs, but both ways, and of two processes.
    pub fn properties(&self) -> LinkProperties {
        LinkProperties {
            direction: Direction::FullDuplex,
            senders: Count::One,
            ..self.sender.properties()
        }
    }
}

impl DuplexFifo {
    /// Makes the two FIFOs, which only their owner may use, or uses those that are there.
    ///
    /// # Errors
    ///
    /// Those of [`FifoOptions::create`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::create_with(FifoOptions::new(), path)
    }

    /// Makes the two FIFOs with options, or uses those that are there.
    ///
    /// # Errors
    ///
    /// Those of [`FifoOptions::create`].
    pub fn create_with(options: FifoOptions, path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let to = options.create(with_suffix(path, ".to"))?;
        let from = options.create(with_suffix(path, ".from"))?;
        Ok(Self { path: path.into(), to, from })
    }

    /// Uses the FIFOs that are there.
    ///
    /// # Errors
    ///
    /// Those of [`Fifo::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let to = Fifo::open(with_suffix(path, ".to"))?;
        let from = Fifo::open(with_suffix(path, ".from"))?;
        Ok(Self { path: path.into(), to, from })
    }

    /// The name that both FIFOs are made of.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Becomes the calling side, waiting for the answering one until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Fifo::open_receiver`] ([`InUse`](ipc_core::OpenErrorKind::InUse) if somebody calls
    /// already) and [`Fifo::open_sender`].
    pub fn call(&self, deadline: Deadline) -> Result<DuplexFifoEnds, OpenError> {
        ends(&self.from, &self.to, deadline)
    }

    /// Becomes the answering side, waiting for the calling one until `deadline`.
    ///
    /// # Errors
    ///
    /// As of [`call`](Self::call).
    pub fn answer(&self, deadline: Deadline) -> Result<DuplexFifoEnds, OpenError> {
        ends(&self.to, &self.from, deadline)
    }

    /// Removes both names. Ends that are open go on.
    ///
    /// # Errors
    ///
    /// Those of unlink(2); the other name is removed in any case.
    pub fn unlink(&self) -> Result<(), OpenError> {
        let first = self.to.unlink();
        self.from.unlink().and(first)
    }
}

/// The receiving end first: it waits for nobody, and it is what the other side's sender waits for.
fn ends(receive: &Fifo, send: &Fifo, deadline: Deadline) -> Result<DuplexFifoEnds, OpenError> {
    let receiver = receive.open_receiver()?;
    let sender = send.open_sender(deadline)?;
    Ok(DuplexFifoEnds { sender, receiver })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(suffix);
    whole.into()
}
