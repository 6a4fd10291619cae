//! `lenet train --tui`: the training as a full-screen picture, with curves that grow.

use super::start::Start;
use super::{interrupt, screen};
use crate::failure::Failure;
use lenet::thousands;
use lenet::train::{EpochMetrics, Event};
use ratatui::crossterm::event::{self, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::prelude::CrosstermBackend;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, LegendPosition, Paragraph, Wrap};
use ratatui::{Frame, Terminal};
use std::io::{self, IsTerminal, Stdout};
use std::time::{Duration, Instant};

/// Time between two pictures.
const PERIOD: Duration = Duration::from_millis(100);
/// Columns and rows from which on there are curves.
const SMALL: (u16, u16) = (40, 14);
/// Points of the curve of the training loss, at most; then every second one goes.
const POINTS: usize = 2000;

/// Fails unless someone sits there.
pub fn check() -> Result<(), Failure> {
    match io::stdin().is_terminal() && io::stdout().is_terminal() {
        true => Ok(()),
        false => Err(Failure::Usage(
            "--tui: standard input and output must be a terminal; leave --tui out, or use --json for programs".into(),
        )),
    }
}

/// The screen, taken as long as this lives.
pub struct Tui {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    view: View,
    drawn: Option<Instant>,
}

impl Tui {
    /// Takes the screen. Whatever ends the program gives it back.
    pub fn open(start: &Start, done: &[EpochMetrics]) -> Result<Tui, Failure> {
        let failed = |e: io::Error| Failure::Failed(format!("--tui: the terminal cannot be used: {e}"));
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout())).map_err(failed)?;
        let tui = Tui { terminal, view: View::new(start, done), drawn: None };
        screen::take().map_err(failed)?;
        Ok(tui)
    }

    /// Takes an event in, draws if it is time, and hears the keys that were pressed.
    pub fn on(&mut self, event: &Event) -> Result<(), Failure> {
        let is_step = matches!(event, Event::Step { .. });
        if is_step && self.drawn.is_some_and(|at| at.elapsed() < PERIOD) {
            return Ok(());
        }
        self.view.take(event);
        let failed = |e: io::Error| Failure::Failed(format!("--tui: the terminal cannot be written: {e}"));
        while event::poll(Duration::ZERO).map_err(failed)? {
            if let event::Event::Key(key) = event::read().map_err(failed)?
                && key.kind != KeyEventKind::Release
                && is_stop(key.code, key.modifiers)
            {
                // The terminal sends no signals now.
                interrupt::request();
            }
        }
        self.view.is_stopping = interrupt::requested();
        if self.drawn.is_none_or(|at| at.elapsed() >= PERIOD) || self.view.is_stopping {
            self.terminal.draw(|frame| self.view.draw(frame)).map_err(failed)?;
            self.drawn = Some(Instant::now());
        }
        Ok(())
    }

    /// Gives the screen back, and the metrics of the epochs that were done on it.
    pub fn close(mut self) -> Vec<EpochMetrics> {
        std::mem::take(&mut self.view.epochs)
    }
}

impl Drop for Tui {
    fn drop(&mut self) {
        screen::give_back();
    }
}

fn is_stop(code: KeyCode, modifiers: KeyModifiers) -> bool {
    match code {
        KeyCode::Char('q') => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

/// The last step that was told.
#[derive(Clone, Copy, Default)]
struct Step {
    epoch: usize,
    step: usize,
    steps: usize,
    loss: f64,
    rate: f64,
    left: Duration,
}

/// Points of a curve: epochs and values.
type Curve = Vec<(f64, f64)>;

/// What there is to see.
#[derive(Default)]
struct View {
    title: String,
    about: String,
    run: String,
    /// Epochs in all.
    goal: usize,
    step: Step,
    last: Option<EpochMetrics>,
    /// Those done on this screen.
    epochs: Vec<EpochMetrics>,
    /// Of training, validation, test.
    losses: [Curve; 3],
    accuracies: [Curve; 3],
    is_stopping: bool,
}

const CURVES: [(&str, Color); 3] = [("train", Color::Cyan), ("val", Color::Yellow), ("test", Color::Magenta)];

impl View {
    fn new(s: &Start, done: &[EpochMetrics]) -> View {
        let parameters = thousands(s.network.learnt() as u64);
        let train = &s.recipe.train;
        let mut view = View {
            title: format!("{} on {}", s.model, s.data),
            about: format!(
                "{parameters} parameters, batch {}, learning rate {}, seed {}, {}",
                train.batch, train.lr, train.seed, s.device
            ),
            run: s.run.display().to_string(),
            goal: train.epochs,
            ..View::default()
        };
        done.iter().for_each(|m| view.add(m));
        view
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Step { epoch, step, steps, loss, images_per_second, remaining } => {
                let (epoch, step, steps, loss) = (*epoch, *step, *steps, *loss);
                self.step = Step { epoch, step, steps, loss, rate: *images_per_second, left: *remaining };
                let at = (epoch - 1) as f64 + step as f64 / steps.max(1) as f64;
                push(&mut self.losses[0], at, Some(loss));
            }
            Event::Epoch(metrics) => {
                self.add(metrics);
                self.epochs.push((*metrics).clone());
            }
            _ => {}
        }
    }

    fn add(&mut self, m: &EpochMetrics) {
        let at = m.epoch as f64;
        for (curve, value) in self.losses.iter_mut().zip([Some(m.train_loss), m.val_loss, m.test_loss]) {
            push(curve, at, value);
        }
        for (curve, value) in self.accuracies.iter_mut().zip([Some(m.train_accuracy), m.val_accuracy, m.test_accuracy])
        {
            push(curve, at, value);
        }
        self.last = Some(m.clone());
    }

    fn draw(&self, frame: &mut Frame) {
        let area = frame.area();
        if area.width < SMALL.0 || area.height < SMALL.1 {
            return self.draw_small(frame);
        }
        let rows = [Constraint::Length(3), Constraint::Min(0), Constraint::Length(2), Constraint::Length(1)];
        let [head, charts, numbers, foot] = Layout::vertical(rows).areas(area);
        let lines = [self.title.clone(), self.about.clone(), self.run.clone()];
        frame.render_widget(Paragraph::new(lines.map(Line::from).to_vec()), head);
        let halves = [Constraint::Fill(1); 2];
        // Beside each other where there is room.
        let split = if charts.width >= 80 { Layout::horizontal(halves) } else { Layout::vertical(halves) };
        let [left, right] = split.areas(charts);
        // Where curves seldom are.
        self.chart(frame, left, "loss", &self.losses, LegendPosition::TopRight);
        self.chart(frame, right, "accuracy", &self.accuracies, LegendPosition::Bottom);
        frame.render_widget(Paragraph::new(self.numbers().map(Line::from).to_vec()), numbers);
        frame.render_widget(self.progress(foot.width), foot);
    }

    /// Numbers alone: there is no room for curves.
    fn draw_small(&self, frame: &mut Frame) {
        let rows = [Constraint::Min(0), Constraint::Length(1)];
        let [text, foot] = Layout::vertical(rows).areas(frame.area());
        let lines = self.numbers().map(Line::from).to_vec();
        frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), text);
        frame.render_widget(self.progress(foot.width), foot);
    }

    fn chart(&self, frame: &mut Frame, area: Rect, title: &str, curves: &[Curve; 3], legend: LegendPosition) {
        let named = curves.iter().zip(CURVES).filter(|(curve, _)| !curve.is_empty());
        let sets = named.map(|(curve, (name, colour))| {
            let set = Dataset::default().name(name).marker(Marker::Braille).graph_type(GraphType::Line);
            set.style(Style::new().fg(colour)).data(curve)
        });
        let [low, high] = ends(curves);
        let middle = (low + high) / 2.0;
        let y = Axis::default().bounds([low, high]).labels([low, middle, high].map(|v| format!("{v:.3}")));
        let end = reach(self.step.epoch.max(self.last.as_ref().map_or(0, |m| m.epoch)), self.goal);
        let x = Axis::default().bounds([0.0, end as f64]).labels(["0".to_string(), end.to_string()]).title("epoch");
        let chart = Chart::new(sets.collect()).block(Block::bordered().title(title)).x_axis(x).y_axis(y);
        let chart = chart
            .legend_position(Some(legend))
            .hidden_legend_constraints((Constraint::Percentage(50), Constraint::Percentage(50)));
        frame.render_widget(chart, area);
    }

    /// The numbers of the moment, and those of the last epoch.
    fn numbers(&self) -> [String; 2] {
        let s = &self.step;
        let moment = format!(
            "epoch {} of {}, step {} of {}, loss {:.3}, {} images/s",
            s.epoch,
            self.goal,
            s.step,
            s.steps,
            s.loss,
            thousands(s.rate as u64)
        );
        let last = self.last.as_ref().map_or(String::new(), line);
        [if s.epoch > 0 { moment } else { String::new() }, last]
    }

    /// The bar, with as many words as fit into `width` columns.
    fn progress(&self, width: u16) -> Gauge<'_> {
        let s = &self.step;
        let done = s.epoch.saturating_sub(1) as f64 + s.step as f64 / s.steps.max(1) as f64;
        let left = s.left.as_secs_f64();
        let labels = match self.is_stopping {
            true => [
                "stopping after this step, with a checkpoint (q or Ctrl-C leaves at once)".to_string(),
                "stopping".to_string(),
            ],
            false => {
                [format!("{left:.0} s left; q or Ctrl-C stops, with a checkpoint"), format!("{left:.0} s; q stops")]
            }
        };
        let [long, short] = labels;
        let label = if long.len() <= usize::from(width) { long } else { short };
        let ratio = (done / self.goal.max(1) as f64).clamp(0.0, 1.0);
        Gauge::default().gauge_style(Style::new().fg(Color::Blue).bg(Color::Black)).ratio(ratio).label(label)
    }
}

/// The last epoch on the axis: that of the plan, or for a long one the next round number, so that the beginning is seen.
fn reach(epoch: usize, goal: usize) -> usize {
    let rounds =
        (0..).map(|power| 10_usize.saturating_pow(power)).flat_map(|ten| [1, 2, 5].map(|n| ten.saturating_mul(n)));
    rounds.map(|end| end.max(10)).find(|end| *end > epoch).unwrap_or(goal).min(goal).max(1)
}

/// Losses and accuracies of an epoch; the rest is elsewhere on the screen.
fn line(m: &EpochMetrics) -> String {
    let mut text = format!("epoch {}, loss {:.3}, train acc {:.3}", m.epoch, m.train_loss, m.train_accuracy);
    for (name, value) in [("val", m.val_accuracy), ("test", m.test_accuracy)] {
        if let Some(value) = value {
            text += &format!(", {name} acc {value:.3}");
        }
    }
    text + &format!(", {:.1} s", m.train_seconds + m.eval_seconds)
}

/// Adds a point where the curve goes on; a curve that has become long keeps every second point.
fn push(curve: &mut Curve, at: f64, value: Option<f64>) {
    let goes_on = curve.last().is_none_or(|last| at > last.0);
    if let Some(value) = value.filter(|v| v.is_finite() && goes_on) {
        curve.push((at, value));
    }
    if curve.len() > POINTS {
        let mut number = 0;
        curve.retain(|_| {
            number += 1;
            number % 2 == 1
        });
    }
}

/// The least and the largest value, apart even if there is only one.
fn ends(curves: &[Curve; 3]) -> [f64; 2] {
    let values = || curves.iter().flatten().map(|point| point.1);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    match () {
        () if low < high => [low, high],
        () if low == high => [low - 0.5, low + 0.5],
        () => [0.0, 1.0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::backend::TestBackend;

    fn metrics(epoch: usize, loss: f64) -> EpochMetrics {
        EpochMetrics {
            epoch,
            lr: 0.1,
            train_loss: loss,
            train_accuracy: 1.0 - loss / 3.0,
            val_loss: Some(loss + 0.1),
            val_accuracy: Some(0.9 - loss / 3.0),
            test_loss: None,
            test_accuracy: None,
            train_seconds: 1.0,
            eval_seconds: 0.1,
            images_per_second: 60_000.0,
        }
    }

    fn view() -> View {
        let mut view = View { title: "lenet on fashion-mnist".into(), goal: 4, ..View::default() };
        for epoch in 1..=2 {
            let (loss, remaining) = (2.5 / epoch as f64, Duration::from_secs(12));
            for step in 1..=10 {
                view.take(&Event::Step { epoch, step, steps: 10, loss, images_per_second: 61_234.0, remaining });
            }
            view.take(&Event::Epoch(&metrics(epoch, loss)));
        }
        view
    }

    fn text(view: &View, columns: u16, rows: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let cells = terminal.backend().buffer().content().chunks(usize::from(columns.max(1)));
        cells.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
    }

    #[test]
    fn curves_and_numbers_are_on_the_screen() {
        let mut view = view();
        let drawn = text(&view, 120, 30);
        for words in [
            "lenet on fashion-mnist",
            "┌loss",
            "┌accuracy",
            "train",
            "val",
            "epoch 2 of 4, step 10 of 10, loss 1.250, 61,234 images/s",
            "epoch 2, loss 1.250, train acc 0.583, val acc 0.483, 1.1 s",
            "12 s left; q or Ctrl-C stops, with a checkpoint",
            // From the least to the largest loss.
            "2.600",
            "1.250",
        ] {
            assert!(drawn.contains(words), "{words:?} is not in:\n{drawn}");
        }
        assert_eq!(text(&view, 80, 24).matches("│train│").count(), 2, "both charts say which curve is which");
        // Where no epoch was evaluated on test images there is no such curve.
        assert!(!drawn.contains("test"), "{drawn}");
        let dots = |text: &str| text.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
        assert!(dots(&drawn) > 20, "the curves are drawn:\n{drawn}");
        view.is_stopping = true;
        assert!(text(&view, 120, 30).contains("stopping after this step"));
    }

    #[test]
    fn a_small_screen_shows_numbers_alone() {
        let drawn = text(&view(), 20, 8);
        for words in ["epoch 2 of 4", "loss 1.250", "acc 0.483", "12 s; q stops"] {
            assert!(drawn.contains(words), "{words:?} is not in:\n{drawn}");
        }
        assert!(!drawn.contains('┌'), "{drawn}");
    }

    #[test]
    fn the_axis_grows_with_a_long_training() {
        let got = [(0, 5), (3, 5), (3, 30), (10, 30), (29, 30), (30, 30), (99, 3000), (100, 3000), (0, 0)];
        assert_eq!(got.map(|(epoch, goal)| reach(epoch, goal)), [5, 5, 10, 20, 30, 30, 100, 200, 1]);
    }

    #[test]
    fn any_size_and_any_moment_can_be_drawn() {
        for view in [View::default(), view()] {
            for (columns, rows) in [(1, 1), (3, 2), (20, 5), (79, 24), (80, 24), (300, 90)] {
                text(&view, columns, rows);
            }
        }
    }

    #[test]
    fn a_long_curve_stays_short_and_whole() {
        let mut curve = Curve::new();
        (0..100_000).for_each(|i| push(&mut curve, f64::from(i), Some(1.0)));
        push(&mut curve, 1e6, Some(f64::NAN));
        assert!(curve.len() <= POINTS && curve[0].0 == 0.0 && curve[curve.len() - 1].0 > 99_000.0);
    }

    #[test]
    fn q_and_ctrl_c_stop() {
        assert!(is_stop(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(is_stop(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!is_stop(KeyCode::Char('c'), KeyModifiers::NONE));
    }
}
