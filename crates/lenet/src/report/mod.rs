//! Reports: one run, or several compared, as one HTML file that needs nothing else, neither scripts nor the network.
//!
//! ```text
//! RunReport::read (the run's files) → RunReport::examine (a dataset's images) → html
//! ```

mod chart;
mod compare;
mod error;
mod evidence;
mod examine;
mod page;
mod picture;
mod run;
mod sections;

pub use error::{MOST_RUNS, ReportError};
pub use evidence::{Activations, Evidence, Example, Filters, Part};
pub use run::RunReport;

/// The report as the text of an HTML file: of one run, or of several compared with the first.
///
/// The same runs give the same bytes. All names are escaped.
///
/// # Errors
/// No run or more than [`MOST_RUNS`], or a chart that cannot be drawn.
pub fn html(runs: &[RunReport]) -> Result<String, ReportError> {
    if runs.is_empty() || runs.len() > MOST_RUNS {
        return Err(ReportError::Runs(runs.len()));
    }
    let names = distinct(runs);
    let title = match &names[..] {
        [one] => format!("Report of {one}"),
        several => format!("{} compared", several.join(", ")),
    };
    let page = if let [run] = runs {
        page::page(&title, &sections::run(run, &names[0], "", 2)?, &[])
    } else {
        let compared = compare::sections(runs, &names)?;
        let each = runs.iter().zip(&names).enumerate();
        let each = each.map(|(i, (run, name))| Ok((name.clone(), sections::run(run, name, &format!("run{i}-"), 3)?)));
        page::page(&title, &compared, &each.collect::<Result<Vec<_>, ReportError>>()?)
    };
    Ok(page.into_string())
}

/// The runs' names; those that come twice are numbered.
fn distinct(runs: &[RunReport]) -> Vec<String> {
    let count = |i: usize| runs[..i].iter().filter(|r| r.name == runs[i].name).count();
    let twice = |i: usize| runs.iter().filter(|r| r.name == runs[i].name).count() > 1;
    let name = |i: usize| if twice(i) { format!("{} ({})", runs[i].name, count(i) + 1) } else { runs[i].name.clone() };
    (0..runs.len()).map(name).collect()
}

#[cfg(test)]
mod tests;
