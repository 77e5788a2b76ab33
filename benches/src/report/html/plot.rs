//! Drawings: lines over sizes or percentiles, and rows of ranges, as SVG that needs nothing else.
//! `plotters` draws the axes and the marks; titles, names at the lines' ends and what a pointer shows
//! are laid over them. Leaves out what is drawn.

use std::ops::Range;

use maud::{Markup, PreEscaped, html};
use plotters::coord::ranged1d::{KeyPointHint, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::palette::Role;

type Failure = Box<dyn std::error::Error>;

/// A point, and what a pointer over it shows.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) tip: String,
}

/// The shape of a line's marks, as colours do not tell everybody everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Circle,
    Square,
    Triangle,
    Cross,
}

/// A line with a name at its end.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) mark: Mark,
    pub(super) points: Vec<Point>,
}

/// A plot of lines. The y axis is logarithmic; so is the x axis, if its positions are.
#[derive(Debug)]
pub(super) struct Plot {
    /// What is shown, for those who cannot see it.
    pub(super) title: String,
    /// The figures in words.
    pub(super) description: String,
    /// Where on the x axis, and the name there.
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) y: Range<f64>,
    /// The name of a value on the y axis.
    pub(super) y_name: fn(f64) -> String,
    /// Those further down lie above.
    pub(super) lines: Vec<Line>,
    /// Width and height: [`PANEL`] or [`OVERVIEW`].
    pub(super) size: (u32, u32),
}

/// One of several plots side by side.
pub(super) const PANEL: (u32, u32) = (404, 232);
/// A plot of the whole width, for a screen that has it.
pub(super) const OVERVIEW: (u32, u32) = (1000, 430);
/// Room for the names at the lines' ends: of a kind, and of everybody.
const RIGHT: (u32, u32) = (126, 176);

impl Plot {
    pub(super) fn svg(&self) -> Markup {
        let mut drawn = String::new();
        let ends = self.draw(&mut drawn).expect("a drawing in memory cannot fail");
        framed(&self.title, &self.description, self.size, &drawn, &ends)
    }

    /// Draws the axes, the lines and the marks; returns what is to be laid over them.
    fn draw(&self, svg: &mut String) -> Result<Overlay, Failure> {
        let root = SVGBackend::with_string(svg, self.size).into_drawing_area();
        let positions: Vec<f64> = self.ticks.iter().map(|(x, _)| *x).collect();
        let (first, last) = extent(positions.iter().copied()).unwrap_or((0.0, 1.0));
        let room = if first == last { 1.0 } else { (last - first) * 0.03 };
        let x_name = |x: &f64| {
            let tick = self.ticks.iter().find(|(at, _)| at == x);
            tick.map_or(String::new(), |(_, name)| name.clone())
        };
        let mut chart = ChartBuilder::on(&root)
            .margin_top(8)
            .margin_right(if self.size == OVERVIEW { RIGHT.1 } else { RIGHT.0 })
            .x_label_area_size(22)
            .y_label_area_size(66)
            .build_cartesian_2d(
                Ticked { range: first - room..last + room, ticks: positions },
                Ticked {
                    range: self.y.start.log10()..self.y.end.log10(),
                    ticks: decades(&self.y, 7),
                },
            )?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .x_labels(self.ticks.len())
            .y_labels(12)
            .bold_line_style(Role::Grid.color())
            .axis_style(Role::Grid.color())
            .label_style(("sans-serif", 13).into_font().color(&Role::Label.color()))
            .x_label_formatter(&x_name)
            .y_label_formatter(&|y| (self.y_name)(10_f64.powf(*y)))
            .draw()?;
        let mut overlay = Overlay::default();
        for line in &self.lines {
            let color = line.role.color();
            let at = |point: &Point| (point.x, point.y.log10());
            let width = if line.role == Role::Ring { 2 } else { 1 };
            let path: Vec<_> = line.points.iter().map(at).collect();
            chart.draw_series([PathElement::new(path, color.stroke_width(width))])?;
            for point in &line.points {
                let at = at(point);
                match line.mark {
                    Mark::None => {}
                    Mark::Circle => {
                        chart.draw_series([Circle::new(at, 3, color.filled())]).map(drop)?
                    }
                    Mark::Square => {
                        let square = Rectangle::new([(-3, -3), (3, 3)], color.filled());
                        chart.draw_series([EmptyElement::at(at) + square]).map(drop)?;
                    }
                    Mark::Triangle => {
                        chart.draw_series([TriangleMarker::new(at, 4, color.filled())]).map(drop)?
                    }
                    Mark::Cross => {
                        chart.draw_series([Cross::new(at, 3, color.stroke_width(1))]).map(drop)?
                    }
                }
                if line.mark != Mark::None {
                    overlay.tips.push((chart.backend_coord(&at), point.tip.clone()));
                }
            }
            if let (Some(last), false) = (line.points.last(), line.name.is_empty()) {
                let (x, y) = chart.backend_coord(&at(last));
                overlay.names.push(Name { x: x + 8, y, text: line.name.clone(), role: line.role });
            }
        }
        root.present()?;
        drop(chart);
        drop(root);
        overlay.spread_names(12, (8, self.size.1 as i32 - 26));
        Ok(overlay)
    }
}

/// A row of a [`Ranking`]: marks on one line.
#[derive(Debug)]
pub(super) struct RankingRow {
    pub(super) name: String,
    pub(super) role: Role,
    /// p50, p99, p99.9 and the maximum, as far as they were measured.
    pub(super) values: [Option<f64>; 4],
    pub(super) tip: String,
    /// What stands at the right end.
    pub(super) note: String,
}

/// Rows of ranges over one logarithmic axis, the first on top.
#[derive(Debug)]
pub(super) struct Ranking {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) x: Range<f64>,
    pub(super) x_name: fn(f64) -> String,
    pub(super) rows: Vec<RankingRow>,
    /// A limit across all rows.
    pub(super) limit: Option<(f64, String)>,
}

const ROW_HEIGHT: u32 = 24;
const RANKING_WIDTH: u32 = 620;

impl Ranking {
    pub(super) fn svg(&self, width: Option<u32>) -> Markup {
        let size = (width.unwrap_or(RANKING_WIDTH), 52 + ROW_HEIGHT * self.rows.len() as u32);
        let mut drawn = String::new();
        let overlay = self.draw(&mut drawn, size).expect("a drawing in memory cannot fail");
        framed(&self.title, &self.description, size, &drawn, &overlay)
    }

    fn draw(&self, svg: &mut String, size: (u32, u32)) -> Result<Overlay, Failure> {
        let root = SVGBackend::with_string(svg, size).into_drawing_area();
        let rows = self.rows.len() as f64;
        let mut chart = ChartBuilder::on(&root)
            .margin_top(24)
            .margin_right(64)
            .margin_left(132)
            .x_label_area_size(22)
            .build_cartesian_2d(
                Ticked {
                    range: self.x.start.log10()..self.x.end.log10(),
                    ticks: decades(&self.x, size.0 as i32 / 90),
                },
                rows..0.0,
            )?;
        chart
            .configure_mesh()
            .max_light_lines(0)
            .disable_y_mesh()
            .y_labels(0)
            .bold_line_style(Role::Grid.color())
            .axis_style(Role::Grid.color())
            .label_style(("sans-serif", 13).into_font().color(&Role::Label.color()))
            .x_label_formatter(&|x| (self.x_name)(10_f64.powf(*x)))
            .draw()?;
        let mut overlay = Overlay::default();
        if let Some((limit, name)) = &self.limit {
            let x = limit.log10();
            let line = PathElement::new([(x, 0.0), (x, rows)], Role::Limit.color());
            chart.draw_series([line])?;
            let (x, y) = chart.backend_coord(&(x, 0.0));
            let name = Name { x: x + 4, y: y - 10, text: name.clone(), role: Role::Limit };
            overlay.names.push(name);
        }
        for (index, row) in self.rows.iter().enumerate() {
            let y = index as f64 + 0.5;
            let color = row.role.color();
            let [p50, p99, p999, max] = row.values.map(|value| value.map(f64::log10));
            let Some(p50) = p50 else { continue };
            let end = max.or(p999).or(p99).unwrap_or(p50);
            let thin = PathElement::new([(p50, y), (end, y)], color.stroke_width(1));
            chart.draw_series([thin])?;
            if let Some(p99) = p99 {
                let thick = PathElement::new([(p50, y), (p99, y)], color.stroke_width(3));
                chart.draw_series([thick])?;
            }
            chart.draw_series([Circle::new((p50, y), 5, color.filled())])?;
            if let Some(p999) = p999 {
                let tick = PathElement::new([(0, -5), (0, 5)], color.stroke_width(2));
                chart.draw_series([EmptyElement::at((p999, y)) + tick])?;
            }
            if let Some(max) = max {
                chart.draw_series([Cross::new((max, y), 3, color.stroke_width(1))])?;
            }
            let at = chart.backend_coord(&(p50, y));
            overlay.tips.push((at, row.tip.clone()));
            overlay.names.push(Name { x: 2, y: at.1, text: row.name.clone(), role: row.role });
            let x = size.0 as i32 - 58;
            overlay.names.push(Name { x, y: at.1, text: row.note.clone(), role: row.role });
        }
        root.present()?;
        drop(chart);
        drop(root);
        Ok(overlay)
    }
}

/// A text over the drawing, its left end at the middle of a line of text.
#[derive(Debug)]
struct Name {
    x: i32,
    y: i32,
    text: String,
    role: Role,
}

#[derive(Debug, Default)]
struct Overlay {
    names: Vec<Name>,
    tips: Vec<((i32, i32), String)>,
}

impl Overlay {
    /// Moves names that would cover each other apart, and into the drawing.
    fn spread_names(&mut self, gap: i32, (top, bottom): (i32, i32)) {
        self.names.sort_by_key(|name| name.y);
        let mut free = top;
        for name in &mut self.names {
            name.y = name.y.max(free);
            free = name.y + gap;
        }
        let mut free = bottom;
        for name in self.names.iter_mut().rev() {
            name.y = name.y.min(free);
            free = name.y - gap;
        }
    }
}

/// The whole picture: named, described, and scaled to the room that it gets.
fn framed(
    title: &str,
    description: &str,
    (width, height): (u32, u32),
    drawn: &str,
    overlay: &Overlay,
) -> Markup {
    html! {
        svg class="plot" role="img" viewBox=(format!("0 0 {width} {height}")) {
            title { (title) }
            desc { (description) }
            (PreEscaped(drawn))
            @for name in &overlay.names {
                text class={ "name " (name.role.name()) } x=(name.x) y=(name.y) { (name.text) }
            }
            @for ((x, y), tip) in &overlay.tips {
                circle class="tip" cx=(x) cy=(y) r="9" { title { (tip) } }
            }
        }
    }
}

/// An axis with ticks where it is told to have them.
struct Ticked {
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Ranged for Ticked {
    type ValueType = f64;
    type FormatOption = plotters::coord::ranged1d::NoDefaultFormatting;

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }
}

impl ValueFormatter<f64> for Ticked {
    fn format_ext(&self, value: &f64) -> String {
        value.to_string()
    }
}

/// The exponents of the powers of ten within a range; every second or third if they are too many.
fn decades(range: &Range<f64>, most: i32) -> Vec<f64> {
    let (first, last) = (range.start.log10().ceil() as i32, range.end.log10().floor() as i32);
    let step = ((last - first) / most.max(1) + 1).max(1) as usize;
    (first..=last).step_by(step).map(f64::from).collect()
}

/// The least and the greatest.
pub(super) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().fold(None, |extent, value| {
        let (least, greatest) = extent.unwrap_or((value, value));
        Some((least.min(value), greatest.max(value)))
    })
}

/// A range with some room around values of very different size.
pub(super) fn roomy(values: impl IntoIterator<Item = f64>) -> Option<Range<f64>> {
    let positive = values.into_iter().filter(|value| *value > 0.0 && value.is_finite());
    let (least, greatest) = extent(positive)?;
    // A whole power of ten lies within, so that there is a tick.
    let (low, high) = (least / 1.6, greatest * 1.6);
    let below = 10_f64.powf(low.log10().floor());
    let has_tick = below * 10.0 <= high;
    Some(if has_tick { low..high } else { below..high })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<Point>) -> Plot {
        Plot {
            title: "A <title>".into(),
            description: "what it shows".into(),
            ticks: vec![(3.0, "8 B".into()), (6.0, "64 B".into())],
            y: 10.0..10_000.0,
            y_name: |value| format!("{value} ns"),
            lines: vec![Line {
                name: "pipe".into(),
                role: Role::Kernel,
                mark: Mark::Circle,
                points,
            }],
            size: PANEL,
        }
    }

    #[test]
    fn a_plot_names_its_lines_and_describes_its_points() {
        let point = |x, y| Point { x, y, tip: format!("{y} & more") };
        let svg = plot(vec![point(3.0, 100.0), point(6.0, 200.0)]).svg().into_string();
        for part in ["<title>A &lt;title&gt;</title>", ">pipe</text>", "100 &amp; more", "64 B"] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert_eq!(svg.matches("r=\"3\"").count(), 2, "a mark for each point");
        assert!(svg.contains("1000 ns"), "ticks at powers of ten");
    }

    #[test]
    fn a_plot_of_nothing_has_axes_all_the_same() {
        let svg = plot(Vec::new()).svg().into_string();
        assert!(svg.contains("64 B") && !svg.contains("NaN"));
    }

    #[test]
    fn names_at_the_same_place_are_moved_apart() {
        let name = |y| Name { x: 0, y, text: String::new(), role: Role::Ring };
        let names = vec![name(100), name(101), name(99), name(10), name(500)];
        let mut overlay = Overlay { names, tips: Vec::new() };
        overlay.spread_names(12, (8, 200));
        let y: Vec<_> = overlay.names.iter().map(|name| name.y).collect();
        assert!(y.windows(2).all(|pair| pair[1] - pair[0] >= 12), "{y:?}");
        assert!(y.iter().all(|y| (8..=200).contains(y)), "{y:?}");
    }

    #[test]
    fn a_range_has_a_tick() {
        for values in [[20.0, 30.0], [95.0, 105.0], [200.0, 900.0], [8.0, 3e9]] {
            let range = roomy(values).expect("values");
            assert!(!decades(&range, 7).is_empty(), "{range:?}");
            assert!(range.contains(&values[0]) && range.contains(&values[1]), "{range:?}");
        }
        assert_eq!(roomy([f64::NAN, 0.0]), None);
    }
}
