//! A record as one page that needs nothing else: no network, no script, no font. It reads on a
//! telephone and on a desk, in light and dark, and aloud.
//!
//! Situations and sizes are chosen by radio buttons, which the style sheet looks at; where it cannot,
//! and on paper, everything is shown. Leaves out what is drawn (`figures`) and how (`plot`).

mod costs;
mod figures;
mod palette;
mod plot;
mod tables;

use std::fmt::Write as _;

use figures::Plots;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::advice;
use super::schema::Record;
use super::text::size_name;
use super::view::{self, SITUATIONS, Situation};

const STYLE: &str = include_str!("style.css");

/// Nothing but the page's own style: a browser that obeys it asks nobody for anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// How many sizes can be chosen from.
const MOST_SIZES: usize = 6;

/// Writes the page.
pub fn page(record: &Record) -> String {
    let sizes = chosen_sizes(record);
    let situations: Vec<(usize, Situation)> = SITUATIONS
        .into_iter()
        .enumerate()
        .filter(|(_, situation)| record.results.iter().any(|row| situation.has(row)))
        .collect();
    let small = view::small_size(record).unwrap_or(0);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "How fast processes talk: " (record.machine.cpu) }
                style { (PreEscaped(style_sheet(&situations, &sizes))) }
            }
            body {
                header {
                    h1 { "How fast two processes talk on this machine" }
                    p.machine { (tables::machine(record)) }
                    @for warning in advice::warnings(record) {
                        p.warning { strong { "Mind: " } (warning) "." }
                    }
                }
                main {
                    (pick(record))
                    (controls(&situations, &sizes, small))
                    (plots(record, &situations, &sizes))
                    (costs::paced(record))
                    (costs::merged(record))
                    (costs::links(record))
                    (tables::limits(record))
                    (tables::everything(record))
                }
                footer { (method()) }
            }
        }
    };
    markup.into_string()
}

/// At most [`MOST_SIZES`] of the record's sizes, the usual ones before others.
fn chosen_sizes(record: &Record) -> Vec<usize> {
    let sizes = view::sizes(record);
    if sizes.len() <= MOST_SIZES {
        return sizes;
    }
    let usual: Vec<usize> =
        sizes.iter().copied().filter(|size| crate::matrix::SIZES_BYTES.contains(size)).collect();
    if usual.len() > 1 {
        return usual;
    }
    let step = sizes.len().div_ceil(MOST_SIZES);
    sizes.into_iter().step_by(step).collect()
}

fn pick(record: &Record) -> Markup {
    let advice = advice::advice(record);
    if advice.is_empty() {
        return html! {}; // other libraries alone
    }
    html! {
        section aria-labelledby="pick" {
            h2 #pick { "What to pick" }
            div.cards {
                @for advice in advice {
                    article.card {
                        h3 { (unbroken_end(&advice.when)) }
                        p.pick.many[advice.pick.matches(',').count() > 1] { (advice.pick) }
                        p.figure { (advice.figure) }
                        p.because { (advice.because) "." }
                    }
                }
            }
            div.beside {
                (tables::overtaking(record))
                (tables::multiples(record))
            }
        }
    }
}

/// With the last two words on one line: a size and its unit.
fn unbroken_end(text: &str) -> String {
    text.rsplit_once(' ').map_or(text.into(), |(start, end)| format!("{start}\u{a0}{end}"))
}

/// The choice of situation and size, for all plots below it.
fn controls(situations: &[(usize, Situation)], sizes: &[usize], small: usize) -> Markup {
    let first = situations.first().map(|(index, _)| *index);
    let chosen = if sizes.contains(&small) { Some(small) } else { sizes.first().copied() };
    html! {
        form.controls aria-label="What the plots show" {
            fieldset {
                legend { "Waiting" }
                @for (index, situation) in situations {
                    label {
                        input type="radio" name="w" id=(format!("w{index}"))
                            checked[Some(*index) == first];
                        span { (situation.short) }
                    }
                }
            }
            fieldset {
                legend { "Size" }
                @for size in sizes {
                    label {
                        input type="radio" name="z" id=(format!("z{size}"))
                            checked[Some(*size) == chosen];
                        span { (size_name(*size)) }
                    }
                }
            }
        }
    }
}

fn plots(record: &Record, situations: &[(usize, Situation)], sizes: &[usize]) -> Markup {
    let by_situation = |of: &dyn Fn(Situation) -> Markup| {
        html! {
            @for (index, situation) in situations {
                div class={ "w w" (index) } {
                    p.situation { b { (situation.title) } ". " (situation.meaning) }
                    (of(*situation))
                }
            }
        }
    };
    let by_size = |of: &dyn Fn(usize) -> Markup| {
        html! {
            @for size in sizes {
                div class={ "z z" (size) } {
                    h3.size { (size_name(*size)) }
                    (of(*size))
                }
            }
        }
    };
    let all = |plots: Plots| {
        html! {
            @if let Some(overview) = plots.overview { div.overview { (overview) } }
            div.panels { @for each in plots.panels { (each) } }
        }
    };
    html! {
        section aria-labelledby="ranking" {
            h2 #ranking { "Who answers fastest" }
            p.how {
                "A round trip: a message there and another back. "
                "● half of the rounds took no longer (p50), thick line up to p99, "
                "| p99.9, × the longest. On the right, the typical round trip as a multiple of the limit beside "
                "which it was measured; the dashed line is that limit's usual time."
            }
            (by_situation(&|situation| by_size(&|size| html! {
                div.wide { (or_nothing(figures::ranking(record, situation, size, None))) }
                div.narrow { (or_nothing(figures::ranking(record, situation, size, Some(360)))) }
            })))
        }
        section aria-labelledby="latency" {
            h2 #latency { "Round trip by size of message" }
            p.how { "Median, both axes logarithmic; lower is better: everybody, then by kind. " (legend()) }
            (by_situation(&|situation| all(figures::round_trips(record, situation))))
        }
        section aria-labelledby="throughput" {
            h2 #throughput { "Throughput of a stream, by size of message" }
            p.how {
                "One way, messages on the heels of each other; every byte copied in and copied out. "
                "Higher is better. " (legend())
            }
            (by_situation(&|situation| all(figures::throughput(record, situation))))
        }
        section aria-labelledby="percentiles" {
            h2 #percentiles { "How long the rare rounds take" }
            p.how { "From the median round trip to the longest; flat and low is good. " (legend()) }
            (by_situation(&|situation| by_size(&|size| {
                all(figures::percentiles(record, situation, size))
            })))
        }
    }
}

fn or_nothing(figure: Option<Markup>) -> Markup {
    figure.unwrap_or_else(|| html! { p { "Nothing was measured here." } })
}

/// What colours, marks and dashes mean.
fn legend() -> Markup {
    let sample = |class: &str, mark: Markup| {
        html! {
            svg class={ "key " (class) } viewBox="0 0 26 10" aria-hidden="true" {
                line x1="0" y1="5" x2="26" y2="5" {} (mark)
            }
        }
    };
    html! {
        span.legend {
            span { (sample("ring", html! { circle cx="13" cy="5" r="3.5" {} })) "the ring" }
            span {
                (sample("kernel", html! { rect x="10" y="2" width="6" height="6" {} }))
                "what the plot is about"
            }
            span { (sample("context", html! {})) "the others" }
            span { (sample("limit", html! {})) "limits of the machine" }
        }
    }
}

fn method() -> Markup {
    html! {
        h2 { "How this was measured" }
        p {
            "Each mechanism ran between two processes pinned to two cores, in several short sessions in "
            "shuffled order, beside the limits of the machine in the same run. Every byte is copied in and "
            "copied out. Each link first carries messages that are written anew and compared byte by "
            "byte; in the timed runs after that the receiver looks at the number and two more words of "
            "each message, at changing places, so that it is the link that is timed and not the check: "
            "what the loops do themselves stands beside the limits. Figures from different runs or "
            "machines compare only as multiples of their limits. Limits: the round trip of a cache line "
            "for those who look, of a futex on the same cores for those who sleep, the textbook’s ring "
            "without checks for streams, and the copying of memory."
        }
        p { "Made by " code { "cargo xtask bench" } " from a record; this page asks nobody for anything." }
    }
}

/// The style sheet, with the roles' colours and what the radio buttons show.
fn style_sheet(situations: &[(usize, Situation)], sizes: &[usize]) -> String {
    let mut text = palette::style_sheet() + STYLE;
    text += "@media screen{@supports selector(:has(*)){\n";
    for (index, _) in situations {
        let _ = writeln!(text, "body:has(#w{index}:checked) .w:not(.w{index}){{display:none}}");
    }
    for size in sizes {
        let _ = writeln!(text, "body:has(#z{size}:checked) .z:not(.z{size}){{display:none}}");
    }
    text + ".z .size{display:none}\n}}\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_page_asks_nobody_for_anything() {
        let page = page(&fixture::record());
        for outside in ["http:", "https:", "src=", "url(", "@import", "<script", "<link"] {
            let rest = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!rest.contains(outside), "{outside}");
        }
    }

    #[test]
    fn names_from_the_record_are_text_and_no_markup() {
        let mut record: Record = fixture::record();
        record.machine.cpu = "<script>alert(1)</script>".into();
        record.results[0].mechanism = "<b>ring".into();
        let page = page(&record);
        assert!(!page.contains("<script>") && !page.contains("<b>ring"));
    }

    #[test]
    fn a_record_without_results_still_makes_a_page() {
        let mut record: Record = fixture::record();
        record.results.clear();
        record.limits.plain_ring.clear();
        assert!(page(&record).contains("How this was measured"));
    }

    #[test]
    fn a_table_without_rows_is_left_out() {
        let only = |name: &str| {
            let mut record: Record = fixture::record();
            record.results.retain(|row| row.mechanism == name);
            page(&record)
        };
        const OVERTAKING: &str = "From which size shared memory is faster";
        assert!(page(&fixture::record()).contains(OVERTAKING));
        for name in ["ring", "pipe", "crossbeam-channel"] {
            let page = only(name);
            assert!(!page.contains(OVERTAKING), "of {name} alone");
            assert!(!page.contains("<tbody></tbody>"), "of {name} alone");
            assert_eq!(page.contains("What to pick"), name != "crossbeam-channel");
        }
    }

    #[test]
    fn every_figure_has_a_name_and_a_description() {
        let page = page(&fixture::record());
        let plots = page.matches("class=\"plot\"").count();
        assert!(plots > 20, "{plots}");
        assert_eq!(page.matches("<desc>").count(), plots);
        assert!(!page.contains("NaN") && !page.contains("inf"), "only figures");
    }

    #[test]
    fn many_sizes_are_thinned_to_what_a_row_of_buttons_holds() {
        let mut record: Record = fixture::record();
        let row = record.results[0].clone();
        record.results = (3..=20)
            .map(|bits| super::super::schema::Row { size_bytes: 1 << bits, ..row.clone() })
            .collect();
        assert_eq!(chosen_sizes(&record), crate::matrix::SIZES_BYTES);
    }
}
