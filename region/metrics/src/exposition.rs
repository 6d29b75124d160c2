//! Metrics as a region's admin port tells them: OpenMetrics text.

/// One number.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// Its metric's name, with all that is appended to it.
    pub name: String,
    /// Its labels, in the order of the text.
    pub labels: Vec<(String, String)>,
    /// The number.
    pub value: f64,
}

impl Sample {
    /// The value of one of its labels.
    pub fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// All numbers of a region at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Exposition(Vec<Sample>);

impl Exposition {
    /// Reads a text. Lines that are no samples are passed over.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(parse_line).collect())
    }

    /// All samples, in the order of the text.
    pub fn into_samples(self) -> Vec<Sample> {
        self.0
    }

    /// The samples of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The first number of that name.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.all(name).next().map(|sample| sample.value)
    }

    /// The sum of all numbers of that name, whatever their labels; none if there is none.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let mut all = self.all(name).map(|sample| sample.value);
        let first = all.next()?;
        Some(all.fold(first, |sum, value| sum + value))
    }

    /// The first number of that name with that label.
    pub fn value_of(&self, name: &str, label: &str, value: &str) -> Option<f64> {
        let mut all = self.all(name);
        all.find(|sample| sample.label(label) == Some(value))
            .map(|sample| sample.value)
    }

    /// A label of the first sample of that name.
    /// The value of one of its labels.
    pub fn label(&self, name: &str, label: &str) -> Option<&str> {
        let mut all = self.0.iter().filter(|sample| sample.name == name);
        all.find_map(|sample| sample.label(label))
    }
}

fn parse_line(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at_checked(name_end)?;
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches(',');
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.to_owned(), value));
            rest = after;
        }
    }
    // What follows the number is a time, or an exemplar.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// A text up to its closing quotation mark, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match signs.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            sign => value.push(sign),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples() {
        let text = "# TYPE a gauge\na 1.5\nb_total{x=\"1\",y=\"a\\\"b\\\\\\n\"} 2 # {trace_id=\"7\"} 0.5\nc{le=\"+Inf\"} 3\nbad{x=\"\n# EOF\n";
        let read = Exposition::parse(text);
        assert_eq!(read.0.len(), 3);
        assert_eq!(read.value("a"), Some(1.5));
        assert_eq!(read.label("b_total", "y"), Some("a\"b\\\n"));
        assert_eq!(read.value_of("c", "le", "+Inf"), Some(3.0));
        assert_eq!(read.value_of("c", "le", "1"), None);
        let several = Exposition::parse("d{x=\"1\"} 2\nd{x=\"2\"} 3\n");
        assert_eq!((several.sum("d"), several.sum("e")), (Some(5.0), None));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[a{}=\"\\\\, 1\n#é]{0,80}") {
            let _ = Exposition::parse(&text);
        }
    }
}
