//! The victim listens, accepts, or connects. Whatever becomes of it, a successor of the same name is
//! served, and has a whole ring.

use std::fs;
use std::path::PathBuf;
use std::thread;

use ipc_core::{Deadline, OpenErrorKind, Receiver, Sender};
use ipc_ring::{Link, Listener, connect, listen};
use ipc_testing::crash::{Cue, Fate, Scene, Survivor, Victim};

use crate::attach::use_link;
use crate::link::{LENGTHS, LONGEST, Manner, State, VICTIM};
use crate::message::{Inbox, message};

pub(crate) fn scenes() -> Vec<Scene> {
    let mut scenes = vec![listening(), closing(), connecting()];
    scenes.extend([false, true].map(accepting));
    scenes
}

/// A folder for the socket of one trial.
struct Place(PathBuf);

impl Place {
    /// Makes the folder of a new trial, and removes first what a trial that was cut off has left there,
    /// whose victim had the same process id.
    fn make(victim: u32) -> Self {
        let place = Self::of(victim);
        drop(fs::remove_dir_all(&place.0));
        fs::create_dir(&place.0).expect("a new folder");
        place
    }

    /// Its number is the victim's process id, always as long: the way through the code that looks for a
    /// path's end depends on its length. The survivor makes and removes it.
    fn of(victim: u32) -> Self {
        Self(std::env::temp_dir().join(format!("ipc-crash-{victim:010}")))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("ring")
    }

    fn listen(&self) -> Listener {
        listen(self.socket().as_path()).expect("the name is free, or a dead one's")
    }
}

/// The victim begins to listen.
fn listening() -> Scene {
    let survivor = |survivor: &mut Survivor| {
        let place = prepare(survivor);
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it listens
            let options = Manner::Parked.sending();
            let link = connect(place.socket().as_path(), &options, Deadline::Never);
            assert!(use_link(link, Manner::Parked), "the victim accepts and reads");
            survivor.wait(); // until it does not listen any more
        }
        succeed(&mut place.listen(), &place);
        clean_up(&place)
    };
    let victim = |victim: &mut Victim| {
        let place = Place::of(std::process::id());
        victim.wait();
        let mut listener = victim.operation(|| place.listen());
        victim.signal();
        let link = listener.accept(&VICTIM.receiving(), Deadline::Never);
        assert!(use_link(link, VICTIM), "all came");
        drop(listener);
        victim.signal();
    };
    Scene::new(("listen", "no such name"), victim, survivor)
}

/// The victim ends listening.
fn closing() -> Scene {
    let survivor = |survivor: &mut Survivor| {
        let place = prepare(survivor);
        if survivor.fate() == Fate::Stopped {
            survivor.acted();
            survivor.wait(); // until it is closed
        }
        succeed(&mut place.listen(), &place);
        clean_up(&place)
    };
    let victim = |victim: &mut Victim| {
        let place = Place::of(std::process::id());
        victim.wait();
        let listener = place.listen();
        victim.operation(|| drop(listener));
        victim.signal();
    };
    Scene::new(("listener: close", "nobody connects"), victim, survivor)
}

/// The victim takes a client, who is there before it, or comes when it sleeps.
fn accepting(later: bool) -> Scene {
    let survivor = move |survivor: &mut Survivor| {
        let place = prepare(survivor);
        survivor.wait(); // until it listens
        let mut is_complete = false;
        if !later || survivor.cue() != Cue::Fate(Fate::Killed) {
            let options = Manner::Parked.sending();
            let link = connect(place.socket().as_path(), &options, Deadline::Never);
            is_complete = use_link(link, Manner::Parked);
        }
        if survivor.fate() == Fate::Stopped {
            assert!(is_complete, "a stop is no death");
            survivor.wait(); // until it does not listen any more
        } else {
            assert!(!is_complete);
        }
        succeed(&mut place.listen(), &place);
        clean_up(&place)
    };
    let victim = move |victim: &mut Victim| {
        let place = Place::of(std::process::id());
        victim.wait();
        let mut listener = place.listen();
        victim.signal();
        if !later {
            victim.wait_until_partner_parks();
        }
        let options = VICTIM.receiving();
        let link = victim.operation(|| listener.accept(&options, Deadline::Never));
        assert!(use_link(link, VICTIM), "all came");
        drop(listener);
        victim.signal();
    };
    // The client cannot go on before the victim does.
    if later {
        Scene::new(("accept", "the client comes later"), victim, survivor)
            .survivor_is("connects when it sleeps")
            .cued()
            .busy()
            .varies()
    } else {
        Scene::new(("accept", "the client has said hello"), victim, survivor)
            .survivor_is("parked")
            .busy()
            .varies()
    }
}

/// The victim connects, and is accepted when it sleeps.
fn connecting() -> Scene {
    let survivor = |survivor: &mut Survivor| {
        let place = Place::make(survivor.partner_pid());
        let mut listener = place.listen();
        survivor.signal();
        let cue = survivor.cue();
        if cue == Cue::Fate(Fate::Stopped) {
            survivor.acted();
        }
        let deadline = if cue == Cue::Fate(Fate::Killed) { Deadline::Now } else { Deadline::Never };
        let options = Manner::Parked.receiving();
        match listener.accept(&options, deadline) {
            // Killed before it said hello: no link, and no error that it was the cause of.
            Err(error) if matches!(error.kind(), OpenErrorKind::TimedOut) => {
                assert_eq!(deadline, Deadline::Now);
            }
            link => {
                if cue == Cue::Asleep && survivor.fate() == Fate::Stopped {
                    survivor.acted();
                }
                let is_complete = use_link(link, Manner::Parked);
                assert_eq!(is_complete, survivor.fate() == Fate::Stopped);
            }
        }
        survivor.fate();
        succeed(&mut listener, &place);
        drop(listener);
        clean_up(&place)
    };
    let victim = |victim: &mut Victim| {
        let place = Place::of(std::process::id());
        victim.wait();
        let (socket, options) = (place.socket(), VICTIM.sending());
        let link = victim.operation(|| connect(socket.as_path(), &options, Deadline::Never));
        assert!(use_link(link, VICTIM), "all went");
    };
    Scene::new(("connect", "somebody listens"), victim, survivor)
        .survivor_is("accepts when it sleeps")
        .cued()
        .varies()
}

/// Makes the folder, and lets the victim begin.
fn prepare(survivor: &Survivor) -> Place {
    let place = Place::make(survivor.partner_pid());
    survivor.signal();
    place
}

/// Nothing is left but, perhaps, a dead name. There is no effect to count.
fn clean_up(place: &Place) -> u64 {
    fs::remove_dir(&place.0).expect("the successor has removed the name");
    0
}

/// A new link of the same name, by a client of this process: the ring has all its room.
#[track_caller]
fn succeed(listener: &mut Listener, place: &Place) {
    let (options, own) = (Manner::Parked.sending(), std::process::id());
    let (client, server) = thread::scope(|scope| {
        let socket = place.socket();
        let client = scope.spawn(move || connect(socket.as_path(), &options, Deadline::Never));
        let server = loop {
            let link: Link = listener
                .accept(&Manner::Parked.receiving(), Deadline::Never)
                .expect("a client that keeps to the handshake");
            // The dead victim's hello may be in front.
            if link.peer().pid.is_some_and(|pid| pid.get() == own) {
                break link;
            }
        };
        (client.join().expect("no panic").expect("accepted"), server)
    });
    let mut sender = client.sender.expect("made with a ring");
    let mut receiver = server.receiver.expect("the client sends");
    let mut sent = 0;
    while sender.try_send(&message(sent, LENGTHS[0])).is_ok() {
        sent += 1;
    }
    assert_eq!(sent as usize, State::Full.unread(LENGTHS[0]), "full capacity");
    let (mut inbox, mut buffer) = (Inbox::default(), [0; LONGEST]);
    for _ in 0..sent {
        let received = receiver.try_recv(&mut buffer).expect("what was sent");
        inbox.take(&buffer[..received.len]);
    }
}
