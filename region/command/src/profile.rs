//! AWS's shared files: `~/.aws/config` and `~/.aws/credentials`.

use std::collections::BTreeMap;

/// The longest file that is read, in bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file's sections, each with its settings. A setting in a group (`dynamodb =`, then indented lines) is `group.name`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SharedFile(BTreeMap<String, BTreeMap<String, String>>);

impl SharedFile {
    /// Reads a text. What is no section and no setting is passed over, as the SDKs do.
    pub(crate) fn parse(text: &str) -> Self {
        let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let (mut section, mut group) = (None, None);
        for line in text.lines() {
            let is_indented = line.starts_with([' ', '\t']);
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
                sections.entry(name.clone()).or_default();
                (section, group) = (Some(name), None);
                continue;
            }
            let (Some(section), Some((name, value))) = (&section, line.split_once('=')) else {
                continue;
            };
            let (name, value) = (name.trim().to_lowercase(), value.trim());
            let settings = sections.entry(section.clone()).or_default();
            match (&group, is_indented) {
                (Some(group), true) => drop(settings.insert(format!("{group}.{name}"), value.to_owned())),
                (_, _) if value.is_empty() => group = Some(name),
                (_, _) => {
                    settings.insert(name, value.to_owned());
                    group = None;
                }
            }
        }
        Self(sections)
    }

    /// A section, if it is there.
    pub(crate) fn section(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.0.get(name)
    }
}

/// What a profile says in both files. The file of credentials goes first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Profile(BTreeMap<String, String>);

impl Profile {
    /// A profile of that name, or `None` if neither file has it.
    pub(crate) fn find(name: &str, config: &SharedFile, credentials: &SharedFile) -> Option<Self> {
        let of_config = match name {
            "default" => config.section("default").or_else(|| config.section("profile default")),
            name => config.section(&format!("profile {name}")),
        };
        let of_credentials = credentials.section(name);
        if of_config.is_none() && of_credentials.is_none() {
            return None;
        }
        let mut settings = of_config.cloned().unwrap_or_default();
        let services = settings
            .get("services")
            .and_then(|services| config.section(&format!("services {services}")));
        if let Some(services) = services {
            settings.extend(services.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        settings.extend(of_credentials.cloned().unwrap_or_default());
        Some(Self(settings))
    }

    /// A setting that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn profiles() {
        let config = SharedFile::parse(
            "# mine\n[default]\nregion = eu-west-1\n[profile  lab]\nregion=us-east-1\nservices = near\nendpoint_url = \
             http://far:1\n[services near]\ndynamodb =\n  endpoint_url = http://near:8000\ns3 =\n  endpoint_url = x\n",
        );
        let credentials = SharedFile::parse("[lab]\naws_access_key_id = a\naws_secret_access_key = b=c\n");
        let lab = Profile::find("lab", &config, &credentials).unwrap();
        assert_eq!(lab.get("region"), Some("us-east-1"));
        assert_eq!(lab.get("aws_secret_access_key"), Some("b=c"));
        assert_eq!(lab.get("dynamodb.endpoint_url"), Some("http://near:8000"));
        assert_eq!(lab.get("endpoint_url"), Some("http://far:1"));
        let default = Profile::find("default", &config, &credentials).unwrap();
        assert_eq!(
            (default.get("region"), default.get("aws_access_key_id")),
            (Some("eu-west-1"), None)
        );
        assert_eq!(Profile::find("other", &config, &credentials), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[\\[\\]= \ta-c\n#]{0,200}") {
            let file = SharedFile::parse(&text);
            let _ = Profile::find("a", &file, &file);
        }
    }
}
