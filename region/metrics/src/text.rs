//! Histograms as OpenMetrics text, with exemplars.

use std::fmt::{self, Write};

use super::gathered::{Exemplar, HistogramReading, Label, Readings};

/// What the text ends with.
const END: &str = "# EOF\n";

/// Adds histograms to a text that ends here.
pub(super) fn append(text: &mut String, histograms: &[Readings]) -> fmt::Result {
    if text.ends_with(END) {
        text.truncate(text.len() - END.len());
    }
    for (of, readings) in histograms {
        if readings.is_empty() {
            continue;
        }
        let name = of.full_name();
        write!(text, "# HELP {name} {}.\n# TYPE {name} histogram\n", of.help)?;
        for reading in readings {
            one(text, &name, reading)?;
        }
    }
    text.push_str(END);
    Ok(())
}

fn one(text: &mut String, name: &str, reading: &HistogramReading) -> fmt::Result {
    write!(text, "{name}_sum")?;
    labels(text, None, &reading.labels)?;
    write!(text, " {}\n{name}_count", reading.counts.sum)?;
    labels(text, None, &reading.labels)?;
    writeln!(text, " {}", reading.counts.count())?;
    for (bound, count, exemplar) in reading.buckets() {
        write!(text, "{name}_bucket")?;
        labels(text, Some(bound), &reading.labels)?;
        write!(text, " {count}")?;
        if let Some(Exemplar {
            trace_id,
            value,
            at_unix_s,
        }) = exemplar
        {
            write!(text, " # {{trace_id=\"{trace_id}\"}} {value} {at_unix_s:.3}")?;
        }
        text.push('\n');
    }
    Ok(())
}

fn labels(text: &mut String, bound: Option<f64>, labels: &[Label]) -> fmt::Result {
    if bound.is_none() && labels.is_empty() {
        return Ok(());
    }
    text.push('{');
    match bound {
        Some(bound) if bound.is_infinite() => text.push_str("le=\"+Inf\""),
        Some(bound) => write!(text, "le=\"{bound:?}\"")?,
        None => {}
    }
    for (place, (name, value)) in labels.iter().enumerate() {
        let comma = if place > 0 || bound.is_some() { "," } else { "" };
        write!(text, "{comma}{name}=\"")?;
        for sign in value.chars() {
            match sign {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                sign => text.push(sign),
            }
        }
        text.push('"');
    }
    text.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::exposition::Exposition;
    use geodynamo_histogram::Histogram;

    use super::*;
    use crate::catalogue;

    #[test]
    fn histograms_are_written() {
        let histogram = Histogram::new(&[0.5, 1.0]);
        [0.25, 0.75, 2.0].into_iter().for_each(|value| histogram.record(value));
        let mut reading = HistogramReading::plain(vec![("table", "a\"b\\\n".into())], histogram.snapshot());
        reading.exemplars = vec![
            None,
            Some(Exemplar {
                trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".into(),
                value: 0.75,
                at_unix_s: 1.5,
            }),
            None,
        ];
        let mut text = String::from("x 1\n# EOF\n");
        append(&mut text, &[(&catalogue::REQUEST_DURATION, vec![reading])]).unwrap();
        let name = "geodynamo_request_duration_seconds";
        let labels = "table=\"a\\\"b\\\\\\n\"";
        let expected = format!(
            "x 1\n# HELP {name} Time from a whole request to its whole answer.\n# TYPE {name} histogram\n\
             {name}_sum{{{labels}}} 3\n{name}_count{{{labels}}} 3\n{name}_bucket{{le=\"0.5\",{labels}}} 1\n\
             {name}_bucket{{le=\"1.0\",{labels}}} 2 # {{trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"}} 0.75 1.500\n\
             {name}_bucket{{le=\"+Inf\",{labels}}} 3\n# EOF\n"
        );
        assert_eq!(text, expected);
        assert_eq!(Exposition::parse(&text).value(&format!("{name}_count")), Some(3.0));
    }
}
