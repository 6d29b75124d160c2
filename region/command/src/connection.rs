//! Where a region's data port is, and who asks it: flags, then AWS's environment variables, then its profile files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use geodynamo_outgoing::Credentials;

use crate::{
    client::Failure,
    profile::{FILE_BYTES_MAX, Profile, SharedFile},
};

/// Where `geodynamo dev` and `geodynamo serve` listen unless they are told otherwise.
const ENDPOINT: &str = "http://127.0.0.1:8000";
const REGION: &str = "us-east-1";

/// Which region is asked, and by whom.
#[derive(Clone, PartialEq, Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The region's data port. If it is not told: AWS_ENDPOINT_URL_DYNAMODB, AWS_ENDPOINT_URL, the profile's endpoint_url,
    /// http://127.0.0.1:8000
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// The region that requests are signed for. If it is not told: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1
    #[arg(long = "region", value_name = "REGION")]
    pub signed_for: Option<String>,
    /// The profile of ~/.aws that has the key. If it is not told: the key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then
    /// AWS_PROFILE, then `default`
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// A file of authorities (PEM) that certificates are checked by; AWS_CA_BUNDLE, or the system's, if it is not told
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// A connection with everything found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Resolved {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    /// None where nothing tells of a key: then requests are not signed.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) ca_file: Option<PathBuf>,
}

impl Connection {
    /// As this process's environment has it.
    pub(crate) fn resolve(&self) -> Result<Resolved, Failure> {
        self.resolve_by(&|name| std::env::var(name).ok())
    }

    fn resolve_by(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Resolved, Failure> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let named = self.profile.clone().or_else(|| variable("AWS_PROFILE"));
        let home = variable("HOME").map(PathBuf::from).unwrap_or_default();
        let file = |told: &str, default: &str| {
            let path = variable(told).map_or_else(|| home.join(default), PathBuf::from);
            read(&path)
        };
        let config = file("AWS_CONFIG_FILE", ".aws/config")?;
        let credentials = file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")?;
        let profile = match (
            Profile::find(named.as_deref().unwrap_or("default"), &config, &credentials),
            &named,
        ) {
            (Some(profile), _) => profile,
            (None, None) => Profile::default(),
            (None, Some(name)) => {
                return Err(Failure::told(
                    format!("there is no profile '{name}'"),
                    "`aws configure list-profiles` lists those of ~/.aws; without --profile and AWS_PROFILE, the environment's \
                     key is taken",
                ));
            }
        };
        let of_profile = |name: &str| profile.get(name).map(str::to_owned);
        let own_key = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
        // A profile that was named on the command line goes before the environment's key.
        let of_environment = own_key
            .filter(|_| self.profile.is_none())
            .map(|(id, secret)| Credentials {
                access_key_id: id,
                secret_access_key: secret,
                session_token: variable("AWS_SESSION_TOKEN"),
            });
        let credentials = of_environment.or_else(|| {
            Some(Credentials {
                access_key_id: of_profile("aws_access_key_id")?,
                secret_access_key: of_profile("aws_secret_access_key")?,
                session_token: of_profile("aws_session_token"),
            })
        });
        let endpoint = self
            .endpoint
            .clone()
            .or_else(|| variable("AWS_ENDPOINT_URL_DYNAMODB"))
            .or_else(|| variable("AWS_ENDPOINT_URL"))
            .or_else(|| of_profile("dynamodb.endpoint_url"))
            .or_else(|| of_profile("endpoint_url"))
            .unwrap_or_else(|| ENDPOINT.to_owned());
        let region = self
            .signed_for
            .clone()
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .or_else(|| of_profile("region"))
            .unwrap_or_else(|| REGION.to_owned());
        Ok(Resolved {
            endpoint,
            region,
            credentials,
            ca_file: self
                .ca_file
                .clone()
                .or_else(|| variable("AWS_CA_BUNDLE").map(PathBuf::from)),
        })
    }
}

/// A file that is not there says nothing.
fn read(path: &Path) -> Result<SharedFile, Failure> {
    let unreadable = |why: &dyn std::fmt::Display| {
        Failure::told(
            format!("{}: {why}", path.display()),
            "AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name other files",
        )
    };
    match fs::metadata(path) {
        // Tests and scripts name /dev/null.
        Ok(found) if !found.is_file() => return Ok(SharedFile::default()),
        Ok(found) if found.len() > FILE_BYTES_MAX => return Err(unreadable(&"longer than any such file")),
        Ok(_) => {}
        Err(_) => return Ok(SharedFile::default()),
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok(SharedFile::parse(&text)),
        Err(error) => Err(unreadable(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(connection: &Connection, variables: &[(&str, &str)]) -> Result<Resolved, Failure> {
        let found = |name: &str| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        };
        connection.resolve_by(&found)
    }

    #[test]
    fn flags_then_variables_then_profiles() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let config = write(
            "config",
            "[profile lab]\nregion = eu-west-1\nendpoint_url = http://lab:1\n",
        );
        let keys = write(
            "credentials",
            "[lab]\naws_access_key_id = i\naws_secret_access_key = s\n",
        );
        let files = [
            ("AWS_CONFIG_FILE", config.as_str()),
            ("AWS_SHARED_CREDENTIALS_FILE", keys.as_str()),
        ];
        let of = |more: &[(&'static str, &'static str)], connection: &Connection| {
            let variables: Vec<_> = files.iter().copied().chain(more.iter().copied()).collect();
            resolve(connection, &variables)
        };
        let nothing = of(&[], &Connection::default()).unwrap();
        assert_eq!((nothing.endpoint.as_str(), nothing.region.as_str()), (ENDPOINT, REGION));
        assert_eq!(nothing.credentials, None);
        let key = [
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("AWS_ENDPOINT_URL", "http://e:1"),
        ];
        let by_variables = of(&key, &Connection::default()).unwrap();
        assert_eq!(by_variables.endpoint, "http://e:1");
        assert_eq!(by_variables.credentials.unwrap().access_key_id, "a");
        let lab = Connection {
            profile: Some("lab".to_owned()),
            ..Connection::default()
        };
        let by_profile = of(&key[..2], &lab).unwrap();
        assert_eq!(by_profile.endpoint, "http://lab:1");
        assert_eq!(by_profile.region, "eu-west-1");
        assert_eq!(by_profile.credentials.unwrap().access_key_id, "i");
        let by_flag = Connection {
            endpoint: Some("http://f:1".to_owned()),
            ..lab.clone()
        };
        assert_eq!(of(&key, &by_flag).unwrap().endpoint, "http://f:1");
        let error = of(&[("AWS_PROFILE", "nobody")], &Connection::default()).unwrap_err();
        assert!(error.to_string().contains("no profile 'nobody'"), "{error}");
    }
}
