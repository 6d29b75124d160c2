//! Game days: faults on this region's links, as the admin port takes them and as `geodynamo link` asks for them.
//!
//! - `GET /faults`: every peer, whether its link is up, and the fault on it.
//! - `PUT /faults/{peer}` with `{"pause", "cut", "loss_percent", "delay_ms", "seconds"}`: puts a fault there for so long.
//! - `DELETE /faults/{peer}`: ends it.
//!
//! The port's guard sees to it that changes are signed with an access key of the region, whose policies must allow
//! `geodynamo:SetLinkFault` or `geodynamo:ClearLinkFault` on the link.

use std::{
    io::{self, Write as _},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use geodynamo_command::{Failure, OutputForm, credentials};
use geodynamo_replicator::{FAULT_DELAY_MAX, FAULT_MAX, Fault, Faults, Metrics};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    cli::{LinkArguments, LinkCommand},
    plain_http,
    run::Done,
};

/// How long a fault lasts that does not say.
const LASTS: u64 = 60;

/// The links of a region.
pub(crate) struct LinkControl {
    pub(crate) region: String,
    /// The regions that there are links to.
    pub(crate) peers: Vec<String>,
    pub(crate) faults: Faults,
    pub(crate) metrics: Arc<Metrics>,
}

/// A fault that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    pause: bool,
    cut: bool,
    loss_percent: f64,
    delay_ms: u64,
    seconds: Option<u64>,
}

impl Asked {
    fn fault(self) -> Result<(Fault, Duration), String> {
        let Self {
            pause,
            cut,
            loss_percent,
            delay_ms,
            seconds,
        } = self;
        if !(0.0..=100.0).contains(&loss_percent) {
            return Err("loss_percent must be from 0 to 100".into());
        }
        let delay = Duration::from_millis(delay_ms);
        if delay > FAULT_DELAY_MAX {
            return Err(format!("delay_ms must be at most {}", FAULT_DELAY_MAX.as_millis()));
        }
        let lasts = Duration::from_secs(seconds.unwrap_or(LASTS));
        if lasts.is_zero() || lasts > FAULT_MAX {
            return Err(format!("seconds must be from 1 to {}", FAULT_MAX.as_secs()));
        }
        if !pause && !cut && loss_percent == 0.0 && delay.is_zero() {
            return Err("one of pause, cut, loss_percent and delay_ms must be given".into());
        }
        let fault = Fault {
            paused: pause,
            cut,
            loss_percent,
            delay,
        };
        Ok((fault, lasts))
    }
}

/// What of the admin port is the links'.
pub(crate) fn router(control: Arc<LinkControl>) -> Router {
    Router::new()
        .route("/faults", get(list))
        .route("/faults/{peer}", put(set).delete(clear))
        .with_state(control)
}

async fn list(State(control): State<Arc<LinkControl>>) -> Json<Value> {
    Json(control.list())
}

async fn set(State(control): State<Arc<LinkControl>>, Path(peer): Path<String>, body: Bytes) -> Response {
    if let Some(refused) = control.unknown(&peer) {
        return refused;
    }
    let asked = serde_json::from_slice::<Asked>(&body).map_err(|error| error.to_string());
    match asked.and_then(Asked::fault) {
        Err(reason) => refuse(StatusCode::BAD_REQUEST, &reason),
        Ok((fault, lasts)) => {
            control.faults.set(&peer, fault, lasts);
            tracing::warn!(peer, ?fault, ?lasts, "a fault was put on a link");
            Json(control.list()).into_response()
        }
    }
}

async fn clear(State(control): State<Arc<LinkControl>>, Path(peer): Path<String>) -> Response {
    if let Some(refused) = control.unknown(&peer) {
        return refused;
    }
    control.faults.clear(&peer);
    tracing::warn!(peer, "the fault on a link was ended");
    Json(control.list()).into_response()
}

impl LinkControl {
    fn list(&self) -> Value {
        let (faults, outgoing) = (self.faults.now(), self.metrics.outgoing());
        let links = self.peers.iter().map(|peer| {
            let up = outgoing.get(peer).is_some_and(|link| link.connected.load(Relaxed));
            let fault = faults.get(peer).map(|(fault, left)| {
                json!({
                    "pause": fault.paused,
                    "cut": fault.cut,
                    "loss_percent": fault.loss_percent,
                    "delay_ms": u64::try_from(fault.delay.as_millis()).unwrap_or(u64::MAX),
                    "seconds_left": left.as_secs_f64().ceil() as u64,
                })
            });
            json!({ "peer": peer, "up": up, "fault": fault })
        });
        json!({ "region": self.region, "links": links.collect::<Vec<_>>() })
    }
}

impl LinkControl {
    /// Why a peer has no link here.
    fn unknown(&self, peer: &str) -> Option<Response> {
        if self.peers.iter().any(|known| known == peer) {
            return None;
        }
        let known = self.peers.join(", ");
        let text = format!("there is no link to '{peer}'; there are: {known}");
        Some(refuse(StatusCode::NOT_FOUND, &text))
    }
}

fn refuse(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "error": reason }))).into_response()
}

/// `geodynamo link`.
pub(crate) fn run(arguments: &LinkArguments) -> Done {
    let (method, peer, fault) = match &arguments.command {
        LinkCommand::List => ("GET", None, Value::Null),
        LinkCommand::Pause(on) => ("PUT", Some(&on.peer), json!({ "pause": true, "seconds": on.seconds })),
        LinkCommand::Cut(on) => ("PUT", Some(&on.peer), json!({ "cut": true, "seconds": on.seconds })),
        LinkCommand::Lose { percent, on } => {
            let fault = json!({ "loss_percent": percent, "seconds": on.seconds });
            ("PUT", Some(&on.peer), fault)
        }
        LinkCommand::Delay { ms, on } => {
            let fault = json!({ "delay_ms": ms, "seconds": on.seconds });
            ("PUT", Some(&on.peer), fault)
        }
        LinkCommand::Resume { peer } => ("DELETE", Some(peer), Value::Null),
    };
    let admin = arguments.admin.as_str();
    let body = if fault.is_null() {
        String::new()
    } else {
        fault.to_string()
    };
    let path = peer.map_or_else(|| "/faults".to_owned(), |peer| format!("/faults/{peer}"));
    if peer.is_some() && credentials()?.is_none() {
        let advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to a key of this region";
        return Err(Failure::told("faults on links are put and ended with a key only", advice).into());
    }
    let said = plain_http::ask_admin(admin, method, &path, &body)?;
    if arguments.output == OutputForm::Json {
        return Ok(writeln!(io::stdout(), "{:#}", said["links"])?);
    }
    print(&said)
}

fn print(said: &Value) -> Done {
    let mut out = io::stdout();
    for link in said["links"].as_array().into_iter().flatten() {
        let (peer, fault) = (link["peer"].as_str().unwrap_or("?"), &link["fault"]);
        let up = if link["up"] == json!(true) { "up" } else { "down" };
        if fault.is_null() {
            writeln!(out, "{peer}  {up}")?;
            continue;
        }
        let mut what = Vec::new();
        for (name, shown) in [("pause", "paused"), ("cut", "cut")] {
            if fault[name] == json!(true) {
                what.push(shown.to_owned());
            }
        }
        if fault["loss_percent"].as_f64().is_some_and(|loss| loss > 0.0) {
            what.push(format!("{} % lost", fault["loss_percent"]));
        }
        if fault["delay_ms"].as_u64().is_some_and(|delay| delay > 0) {
            what.push(format!("delayed by {} ms", fault["delay_ms"]));
        }
        writeln!(
            out,
            "{peer}  {up}  {}, for {} s",
            what.join(", "),
            fault["seconds_left"]
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_fault_is_refused() {
        let read = |text: &str| {
            let asked = serde_json::from_str::<Asked>(text).map_err(|error| error.to_string());
            asked.and_then(Asked::fault)
        };
        let (fault, lasts) = read(r#"{"cut": true}"#).unwrap();
        assert!(fault.cut && !fault.paused && lasts == Duration::from_secs(60));
        let (fault, lasts) = read(r#"{"loss_percent": 5, "delay_ms": 30, "seconds": 3}"#).unwrap();
        assert_eq!(
            (fault.loss_percent, fault.delay.as_millis(), lasts.as_secs()),
            (5.0, 30, 3)
        );
        for bad in [
            "{}",
            r#"{"cut": true, "seconds": 0}"#,
            r#"{"cut": true, "seconds": 3601}"#,
            r#"{"loss_percent": 101}"#,
            r#"{"delay_ms": 10001}"#,
            r#"{"cuts": true}"#,
            "x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
