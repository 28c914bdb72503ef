//! Lines and bars in SVG.

use std::fmt::Write as _;

use super::{Escaped, axis::Axis};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;
/// With more points than this, a line has no marks to point at.
const MARKED: usize = 150;

/// A line: its name and its points; one that is missing interrupts it.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// What is drawn, and what is said of it.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) caption: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

/// A bar: from and to on the x axis, its height, and what it says to whoever points at it.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) height: f64,
    pub(super) told: String,
}

impl Chart {
    /// A figure with a line for each series; `tell` says what a point is.
    pub(super) fn lines(&self, series: &[Series], tell: impl Fn(f64, f64) -> String) -> String {
        let mut drawn = String::new();
        for (index, line) in series.iter().enumerate() {
            let number = index % 4 + 1;
            // Writing to a String does not fail.
            let _ = writeln!(drawn, "<path class=\"l{number}\" d=\"{}\"/>", self.path(&line.points));
            if line.points.len() > MARKED {
                continue;
            }
            for (x, y) in line.points.iter().filter_map(|(x, y)| Some((*x, (*y)?))) {
                let told = Escaped(format!("{}: {}", line.name, tell(x, y)));
                let (cx, cy) = self.place(x, y);
                let _ = writeln!(
                    drawn,
                    "<circle class=\"f{number}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.5\"><title>{told}</title></circle>"
                );
            }
        }
        let legend: Vec<_> = series
            .iter()
            .enumerate()
            .map(|(index, line)| format!("<b class=\"t{}\">&#9632;</b> {}", index % 4 + 1, Escaped(line.name)))
            .collect();
        self.figure(&drawn, &legend.join(" &#160; "))
    }

    /// A figure with bars.
    pub(super) fn bars(&self, bars: &[Bar]) -> String {
        let mut drawn = String::new();
        for bar in bars.iter().filter(|bar| bar.height > 0.0) {
            let ((left, top), (right, bottom)) = (self.place(bar.from, bar.height), self.place(bar.to, 0.0));
            let (width, height) = ((right - left - 1.5).max(1.0), (bottom - top).max(1.0));
            let top = bottom - height;
            let _ = writeln!(
                drawn,
                "<rect class=\"f1\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\"><title>{}</title></rect>",
                Escaped(&bar.told)
            );
        }
        self.figure(&drawn, "")
    }

    fn figure(&self, drawn: &str, legend: &str) -> String {
        let title = Escaped(&self.title);
        let mut figure = format!(
            "<h2>{title}</h2>\n<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n"
        );
        for (value, label) in &self.y.ticks {
            let (_, y) = self.place(0.0, *value);
            let right = WIDTH - RIGHT;
            let _ = writeln!(figure, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
            let (x, y, label) = (LEFT - 8.0, y + 4.0, Escaped(label));
            let _ = writeln!(figure, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>");
        }
        for (value, label) in &self.x.ticks {
            let ((x, _), y, label) = (self.place(*value, 0.0), HEIGHT - 8.0, Escaped(label));
            let _ = writeln!(figure, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>");
        }
        let caption = Escaped(self.caption);
        let between = if legend.is_empty() { "" } else { " &#160; " };
        let _ = write!(figure, "{drawn}</svg>\n<figcaption>{legend}{between}{caption}</figcaption>\n</figure>\n");
        figure
    }

    fn path(&self, points: &[(f64, Option<f64>)]) -> String {
        let mut path = String::new();
        let mut pen_down = false;
        for (x, y) in points {
            let Some(y) = y else {
                pen_down = false;
                continue;
            };
            let (x, y) = self.place(*x, *y);
            let _ = write!(path, "{}{x:.1} {y:.1}", if pen_down { "L" } else { "M" });
            pen_down = true;
        }
        path
    }

    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        (LEFT + self.x.position(x) * width, TOP + (1.0 - self.y.position(y)) * height)
    }
}
