//! What a person sees meanwhile: a bar, or a line for each pass where there is no terminal.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The progress of a run. It is drawn only between sessions, so that it disturbs none.
pub(crate) struct Progress {
    bar: ProgressBar,
    lines: bool,
    began: Instant,
}

impl Progress {
    /// Of so many sessions in so many passes.
    pub(crate) fn new(sessions: usize) -> Self {
        let lines = !std::io::stderr().is_terminal();
        let target =
            if lines { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {elapsed}  {msg}")
            .expect("a valid template");
        let bar = ProgressBar::with_draw_target(Some(sessions as u64), target).with_style(style);
        Self { bar, lines, began: Instant::now() }
    }

    /// A pass begins.
    pub(crate) fn pass(&self, pass: u32, passes: u32) {
        if self.lines {
            let seconds = self.began.elapsed().as_secs();
            eprintln!("pass {pass} of {passes} begins after {seconds} s");
        }
    }

    /// A session begins.
    pub(crate) fn session(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// A session has ended.
    pub(crate) fn session_done(&self) {
        self.bar.inc(1);
    }

    /// The run has ended.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
