//! The few colours of the page: each is a role, with a shade for light and one for dark surroundings.
//!
//! Plots are drawn in the light shades, so that they are right even without a style sheet. The style
//! sheet replaces each shade by a variable of the role, which has another value in the dark.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Our ring.
    Ring,
    /// What else is in shared memory.
    Memory,
    /// A mechanism of the kernel that the plot is about.
    Kernel,
    /// Another library.
    Peer,
    /// What the plot is not about, for orientation.
    Context,
    /// What the machine allows.
    Limit,
    /// Lines behind the figures.
    Grid,
    /// Names of ticks.
    Label,
}

/// Role, name in the style sheet, light shade, dark shade.
const SHADES: [(Role, &str, u32, u32); 8] = [
    (Role::Ring, "ring", 0x0b5fd3, 0x6fadff),
    (Role::Memory, "memory", 0x0a8270, 0x43cdb3),
    (Role::Kernel, "kernel", 0x666d78, 0xa0a8b5),
    (Role::Peer, "peer", 0xb8520a, 0xf39c5c),
    (Role::Context, "context", 0xd9dbdf, 0x363c46),
    (Role::Limit, "limit", 0x2b2f36, 0xdfe3e9),
    (Role::Grid, "grid", 0xe9e9e6, 0x2a2e36),
    (Role::Label, "label", 0x5a606a, 0xa3aab6),
];

impl Role {
    fn entry(self) -> (&'static str, u32, u32) {
        let found = SHADES.iter().find(|(role, ..)| *role == self).expect("each role has shades");
        (found.1, found.2, found.3)
    }

    /// Its name in the style sheet.
    pub(super) fn name(self) -> &'static str {
        self.entry().0
    }

    /// Its colour in a drawing.
    pub(super) fn color(self) -> RGBColor {
        let [_, red, green, blue] = self.entry().1.to_be_bytes();
        RGBColor(red, green, blue)
    }
}

/// The part of the style sheet that gives each role its colour, in light and dark.
pub(super) fn style_sheet() -> String {
    let variables = |of: &dyn Fn(u32, u32) -> u32| {
        SHADES.iter().fold(String::new(), |mut text, &(_, name, light, dark)| {
            let _ = write!(text, "--{name}:#{:06x};", of(light, dark));
            text
        })
    };
    let mut text = format!(":root{{{}}}\n", variables(&|light, _| light));
    let dark = variables(&|_, dark| dark);
    let _ = writeln!(text, "@media (prefers-color-scheme:dark){{:root{{{dark}}}}}");
    for (_, name, light, _) in SHADES {
        for property in ["fill", "stroke"] {
            let _ = writeln!(text, "[{property}=\"#{light:06X}\"]{{{property}:var(--{name})}}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_roles_have_the_same_shade() {
        for (index, one) in SHADES.iter().enumerate() {
            for other in &SHADES[..index] {
                assert!(one.0 != other.0 && one.2 != other.2, "{:?} and {:?}", one.0, other.0);
            }
        }
    }

    #[test]
    fn colours_that_carry_meaning_can_be_seen_in_light_and_dark() {
        // Contrast as WCAG defines it; 3 is its least for graphics.
        let luminance = |color: u32| {
            let channel = |shift: u32| {
                let value = f64::from(color >> shift & 0xff) / 255.0;
                if value <= 0.04 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
        };
        let contrast = |one: u32, other: u32| {
            let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
            one.max(other) / one.min(other)
        };
        for (role, name, light, dark) in SHADES {
            if role != Role::Context && role != Role::Grid {
                assert!(contrast(light, 0xffffff) > 4.5, "{name}, light");
                assert!(contrast(dark, 0x1b1e24) > 4.5, "{name}, dark");
            }
        }
    }
}
