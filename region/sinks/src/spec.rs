//! What a sink is told.

use std::path::{Path, PathBuf};

use geodynamo_archive::Place;
use geodynamo_outgoing::Endpoint;
use serde::{Deserialize, Serialize};

/// The longest name of a sink.
const NAME_LEN_MAX: usize = 64;
/// The longest address, name or path.
const TEXT_LEN_MAX: usize = 1024;
/// The longest time that changes gather for.
const COMMIT_SECONDS_MAX: u64 = 3600;
/// The longest time that snapshots are kept for.
const KEEP_SECONDS_MAX: u64 = 30 * 24 * 3600;

/// A sink, as a configuration file or an operator has it. It holds no secret: those are in files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkSpec {
    /// What the sink is called: letters, digits, hyphens and underscores.
    pub name: String,
    /// The table that is copied.
    pub table: String,
    /// To PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresSpec>,
    /// To an Iceberg table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iceberg: Option<IcebergSpec>,
}

/// A copy in PostgreSQL.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSpec {
    /// The database: `postgres://USER@HOST:PORT/DATABASE?sslmode=require`, or `host=… user=… dbname=…`. Without a password.
    pub address: String,
    /// The file that has the password, alone. It is read at each connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// For connections with TLS: a file with the authorities that are trusted, in PEM. The system's, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The schema that the copy is in. Made if it is not there.
    #[serde(default = "public")]
    pub schema: String,
    /// What the copy is called; as the table, if it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// How items are written.
    #[serde(default)]
    pub document: Document,
}

/// A copy as an Apache Iceberg table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IcebergSpec {
    /// Where tables are: a folder, or `s3://BUCKET/PREFIX`. The copy is in a folder in it that is called as the table is.
    pub place: String,
    /// The S3 API's server; AWS's own if it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path of a request's address, not in its host.
    #[serde(default = "yes")]
    pub path_style: bool,
    /// The bucket's region. From AWS's environment variables if it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The access key. From AWS's environment variables, or from the machine, if it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The file that has its secret, alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_file: Option<PathBuf>,
    /// For how long changes gather before they are committed, in seconds. Many of them are committed sooner.
    #[serde(default = "commit_seconds")]
    pub commit_seconds: u64,
    /// For how long snapshots, and files that only they have, are kept for whoever reads them, in seconds.
    #[serde(default = "keep_seconds")]
    pub keep_seconds: u64,
    /// How items are written.
    #[serde(default)]
    pub document: Document,
    /// What has columns of its own.
    #[serde(default, skip_serializing_if = "Columns::are_keys")]
    pub columns: Columns,
    /// The address of a catalogue with Iceberg's REST API, which then says what the table is; the folder says it if it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// The file with the authorities that are trusted of its address, in PEM. The system's, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog_ca_file: Option<PathBuf>,
    /// The catalogue's warehouse, if it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
    /// The namespace in it, with points between its levels. Made if it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The file with the token that the catalogue is called with, alone. It is read for each call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Who asks for tokens by OAuth 2 (client credentials).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The file with its secret, alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// The address that gives tokens; the catalogue's own if it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2_server: Option<String>,
    /// What tokens are asked for; `catalog` if it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// Which attributes have columns, besides the document with all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Columns {
    /// Those of the key.
    #[default]
    Keys,
    /// All that items have, of the types that they have.
    Typed,
}

impl Columns {
    fn are_keys(&self) -> bool {
        *self == Self::Keys
    }

    pub(crate) fn are_typed(self) -> bool {
        self == Self::Typed
    }
}

/// How an item is written as JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Document {
    /// As plain JSON, which is what one queries: numbers are numbers, sets are arrays, binary is in base64.
    #[default]
    Plain,
    /// As DynamoDB's JSON, `{"a": {"N": "1"}}`, which tells the types.
    Dynamodb,
}

fn public() -> String {
    "public".into()
}

fn yes() -> bool {
    true
}

fn commit_seconds() -> u64 {
    10
}

fn keep_seconds() -> u64 {
    3600
}

impl IcebergSpec {
    /// At a place, with everything else as it is unless told.
    pub fn at(place: String) -> Self {
        Self {
            place,
            endpoint: None,
            path_style: true,
            region: None,
            access_key_id: None,
            secret_access_key_file: None,
            commit_seconds: commit_seconds(),
            keep_seconds: keep_seconds(),
            document: Document::default(),
            columns: Columns::default(),
            catalog: None,
            catalog_ca_file: None,
            warehouse: None,
            namespace: None,
            token_file: None,
            client_id: None,
            client_secret_file: None,
            oauth2_server: None,
            scope: None,
        }
    }

    /// What is wrong with what is told of the catalogue.
    fn catalog_fault(&self) -> Option<String> {
        let texts = [
            &self.catalog,
            &self.warehouse,
            &self.namespace,
            &self.client_id,
            &self.oauth2_server,
            &self.scope,
        ];
        let is_text = |text: &String| (1..=TEXT_LEN_MAX).contains(&text.len()) && !text.contains('\0');
        if !texts.into_iter().flatten().all(is_text) {
            return Some(format!("what is told of a catalogue has 1 to {TEXT_LEN_MAX} bytes"));
        }
        let files = [&self.token_file, &self.client_secret_file, &self.catalog_ca_file];
        let more = texts.into_iter().skip(1).any(Option::is_some) || files.into_iter().any(Option::is_some);
        if self.catalog.is_none() {
            return more.then(|| "what is told of a catalogue goes with catalog, its address".into());
        }
        for address in [&self.catalog, &self.oauth2_server].into_iter().flatten() {
            if let Err(error) = Endpoint::new(address, "iceberg", "", None) {
                return Some(error.to_string());
            }
        }
        let levels = self.namespace.as_deref().unwrap_or_default().split('.');
        if levels.into_iter().any(str::is_empty) {
            return Some("with a catalog it must have a namespace".into());
        }
        if self.client_id.is_some() != self.client_secret_file.is_some() {
            return Some("it must have both of client_id and client_secret_file, or neither".into());
        }
        (self.token_file.is_some() && self.client_id.is_some())
            .then(|| "it must have one of token_file and client_id".into())
    }

    fn fault(&self) -> Option<String> {
        if self.place.is_empty() || self.place.len() > TEXT_LEN_MAX || self.place.contains('\0') {
            return Some(format!("a place has 1 to {TEXT_LEN_MAX} bytes"));
        }
        if let Err(error) = Place::parse(&self.place) {
            return Some(error.to_string());
        }
        if self.access_key_id.is_some() != self.secret_access_key_file.is_some() {
            return Some("it must have both of access_key_id and secret_access_key_file, or neither".into());
        }
        if !(1..=COMMIT_SECONDS_MAX).contains(&self.commit_seconds) {
            return Some(format!("commit_seconds must be from 1 to {COMMIT_SECONDS_MAX}"));
        }
        if let Some(fault) = self.catalog_fault() {
            return Some(fault);
        }
        (self.keep_seconds > KEEP_SECONDS_MAX).then(|| format!("keep_seconds must be from 0 to {KEEP_SECONDS_MAX}"))
    }

    /// Makes a folder's path relative to another.
    pub fn resolve(&mut self, folder: &Path) {
        if !self.place.contains("://") {
            self.place = folder.join(&self.place).to_string_lossy().into_owned();
        }
        let paths = [
            &mut self.secret_access_key_file,
            &mut self.catalog_ca_file,
            &mut self.token_file,
            &mut self.client_secret_file,
        ];
        for path in paths.into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }
}

impl SinkSpec {
    /// Makes the paths in it relative to a folder.
    pub fn resolve(&mut self, folder: &Path) {
        if let Some(postgres) = &mut self.postgres {
            for path in [&mut postgres.password_file, &mut postgres.ca_file]
                .into_iter()
                .flatten()
            {
                *path = folder.join(&*path);
            }
        }
        if let Some(iceberg) = &mut self.iceberg {
            iceberg.resolve(folder);
        }
    }

    /// What is wrong with its paths, if one of them is not absolute.
    pub(crate) fn relative_path(&self) -> Option<String> {
        let mut absolute = self.clone();
        absolute.resolve(Path::new("/"));
        (absolute != *self).then(|| format!("the sink {}: its paths must be absolute", self.name))
    }

    /// What is wrong with it, if something is.
    pub fn fault(&self) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=NAME_LEN_MAX).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return Some(format!(
                "a sink's name has 1 to {NAME_LEN_MAX} letters, digits, hyphens and underscores, unlike '{}'",
                self.name
            ));
        }
        let of = |reason: &str| Some(format!("the sink {}: {reason}", self.name));
        if !(3..=255).contains(&self.table.len()) {
            return of("it must name a table");
        }
        let fault = match (&self.postgres, &self.iceberg) {
            (Some(postgres), None) => postgres.fault(),
            (None, Some(iceberg)) => iceberg.fault(),
            _ => Some("it must have one target: postgres or iceberg".into()),
        };
        fault.and_then(|reason| of(&reason))
    }
}

impl PostgresSpec {
    fn fault(&self) -> Option<String> {
        let texts = [Some(&self.address), Some(&self.schema), self.into.as_ref()];
        for text in texts.into_iter().flatten() {
            if text.is_empty() || text.len() > TEXT_LEN_MAX || text.contains('\0') {
                return Some(format!("addresses and names have 1 to {TEXT_LEN_MAX} bytes"));
            }
        }
        match self.address.parse::<tokio_postgres::Config>() {
            // Not the error, which may tell what is in the address.
            Err(_) => Some("the address is none of PostgreSQL's: postgres://USER@HOST:PORT/DATABASE".into()),
            Ok(parsed) if parsed.get_password().is_some() => {
                Some("the address must not have a password: it goes into a file, password_file".into())
            }
            Ok(parsed) if parsed.get_hosts().is_empty() => Some("the address has no host".into()),
            Ok(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults() {
        let spec = |name: &str, table: &str, address: &str| SinkSpec {
            name: name.into(),
            table: table.into(),
            postgres: Some(PostgresSpec {
                address: address.into(),
                password_file: None,
                ca_file: None,
                schema: public(),
                into: None,
                document: Document::Plain,
            }),
            iceberg: None,
        };
        let check = |spec: SinkSpec, part: Option<&str>| {
            let fault = spec.fault();
            match part {
                None => assert_eq!(fault, None),
                Some(part) => assert!(fault.as_ref().is_some_and(|fault| fault.contains(part)), "{fault:?}"),
            }
        };
        check(spec("a", "orders", "postgres://u@h/d"), None);
        check(spec("a", "orders", "host=h user=u dbname=d"), None);
        check(spec("a b", "orders", "postgres://u@h/d"), Some("a sink's name"));
        check(spec("a", "o", "postgres://u@h/d"), Some("name a table"));
        check(spec("a", "orders", "postgres://u:hush@h/d"), Some("password_file"));
        check(spec("a", "orders", "user=u"), Some("no host"));
        let wrong = spec("a", "orders", "mysql://u:hush@h/d");
        assert!(!wrong.fault().unwrap().contains("hush"));
        check(wrong, Some("none of PostgreSQL's"));
        let none = SinkSpec {
            postgres: None,
            ..spec("a", "orders", "")
        };
        check(none.clone(), Some("one target"));
        let lake = |place: &str| SinkSpec {
            iceberg: Some(IcebergSpec::at(place.into())),
            ..none.clone()
        };
        check(lake("folder"), None);
        assert!(lake("folder").relative_path().is_some() && lake("/folder").relative_path().is_none());
        assert!(lake("s3://b/p").relative_path().is_none());
        check(lake("s3://bucket/prefix"), None);
        check(lake("s3://"), Some("no bucket"));
        let mut half = lake("s3://b");
        half.iceberg.as_mut().unwrap().access_key_id = Some("id".into());
        check(half, Some("or neither"));
        let catalogued = |namespace: &str, token: Option<&str>, client: Option<&str>| {
            let mut sink = lake("/f");
            let iceberg = sink.iceberg.as_mut().unwrap();
            iceberg.catalog = Some("http://127.0.0.1:8181/catalog".into());
            iceberg.namespace = Some(namespace.into()).filter(|name: &String| !name.is_empty());
            iceberg.token_file = token.map(Into::into);
            iceberg.client_id = client.map(Into::into);
            iceberg.client_secret_file = client.map(|_| "/secret".into());
            sink
        };
        check(catalogued("a.b", None, Some("id")), None);
        check(catalogued("a", Some("/token"), None), None);
        check(catalogued("", None, None), Some("must have a namespace"));
        check(catalogued("a..b", None, None), Some("must have a namespace"));
        check(catalogued("a", Some("/token"), Some("id")), Some("one of token_file"));
        assert!(catalogued("a", Some("token"), None).relative_path().is_some());
        let mut none = catalogued("a", None, None);
        none.iceberg.as_mut().unwrap().catalog = None;
        check(none, Some("goes with catalog"));
        let mut other = catalogued("a", None, None);
        other.iceberg.as_mut().unwrap().catalog = Some("thrift://h".into());
        check(other, Some("http://"));
        let mut eager = lake("f");
        eager.iceberg.as_mut().unwrap().commit_seconds = 0;
        check(eager, Some("commit_seconds"));
    }
}
