//! What links are like, as a table for the README: asked of live links between two processes, so that it
//! cannot lie.

use anyhow::{Context, bail};

use crate::leftovers::Leftovers;
use crate::machine;
use crate::mechanisms::Mechanism;
use crate::runner::run_session;
use crate::session::{Cores, Finding, Manner, PacedPlan, SessionSpec, Wait};

/// A table in Markdown: a row for each property, a column for each mechanism. A link between threads is
/// like the one between processes, and variants of a mechanism are like it; they are left out.
///
/// # Errors
///
/// If a link cannot be made.
pub fn table(mechanisms: &[Mechanism]) -> anyhow::Result<String> {
    let leftovers = Leftovers::watch()?;
    let mechanisms: Vec<_> =
        mechanisms.iter().filter(|m| !m.limit && !m.threads && !m.on_request).collect();
    let mut columns = Vec::new();
    for mechanism in &mechanisms {
        let column = of_link(mechanism, &leftovers);
        columns.push(column.with_context(|| format!("{} does not tell", mechanism.name))?);
    }
    let names = mechanisms.iter().map(|mechanism| format!(" {} |", mechanism.name));
    let mut text =
        format!("| |{}\n|---|{}\n", names.collect::<String>(), "---|".repeat(columns.len()));
    for (row, (question, _)) in columns.first().into_iter().flatten().enumerate() {
        let answers = columns.iter().map(|column| format!(" {} |", column[row].1));
        text += &format!("| {question} |{}\n", answers.collect::<String>());
    }
    Ok(text)
}

/// The properties of a live link, in a session of its own.
fn of_link(mechanism: &Mechanism, leftovers: &Leftovers) -> anyhow::Result<Vec<(String, String)>> {
    let waits = mechanism.waits;
    let wait = if waits.contains(&Wait::Adaptive) { Wait::Adaptive } else { Wait::Block };
    let cpu = *machine::allowed_cpus()?.first().context("no processor is allowed")?;
    let spec = SessionSpec {
        subject: Some((mechanism.name.into(), wait)),
        manner: Manner::Describe,
        cores: Cores::One,
        cpus: [cpu; 2],
        sizes_bytes: Vec::new(),
        rtt_ms: 0,
        oneway_ms: 0,
        paced: PacedPlan::default(),
        patience_s: 60,
        ns_per_tick: None,
    };
    let (found, failure) = run_session(&spec, leftovers)?;
    if let Some(failure) = failure {
        bail!(failure);
    }
    let properties = found.into_iter().find_map(|finding| match finding {
        Finding::Properties(rows) => Some(rows),
        _ => None,
    });
    properties.context("the session said nothing")
}
