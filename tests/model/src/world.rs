//! A world: a few tables and a run of requests on them, all from one seed, against the model and an engine.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value as Json, json};

use crate::{
    answer::{Expected, settled},
    engines::{EngineKind, Region},
    fault::Fault,
    generate,
    model::{Model, Start},
    request::{
        Action, Read, Request,
        changes::{Event, TableRequest},
    },
    rng::Rng,
    schema::Schema,
};

/// Runs of one world that may be spent on finding a shorter one that still fails.
const SHRINK_RUNS_MAX: usize = 400;

/// What a world is made from.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Everything follows from it.
    pub seed: u64,
    /// How many requests; pages count as requests of their own.
    pub requests: usize,
    /// The engine.
    pub engine: EngineKind,
    /// A fault planted in the model.
    pub fault: Option<Fault>,
}

/// An operation, and the form of it.
pub type Kind = (&'static str, &'static str);
/// How often each kind of request had each outcome.
pub type Counts = BTreeMap<(Kind, &'static str), usize>;

/// An operation and a body.
pub type Sent = (&'static str, Json);

/// A request whose answer is not the model's.
#[derive(Clone, Debug)]
pub struct Difference {
    /// How many requests were made before, the last one included.
    pub after: usize,
    /// What leads to it: operations and bodies, the last one the one that is answered otherwise.
    pub requests: Vec<Sent>,
    /// What the model expects.
    pub expected: String,
    /// What came.
    pub found: String,
}

/// Where two answers differ.
struct Mismatch {
    operation: &'static str,
    body: Json,
    expected: String,
    found: String,
}

impl World {
    /// Runs the world. A difference comes back with as few requests as could be found that lead to one.
    ///
    /// # Errors
    /// A [`Difference`].
    pub async fn run(&self, counts: &mut Counts) -> Result<(), Box<Difference>> {
        let mut rng = Rng::new(self.seed);
        let heavy = rng.percent(4);
        let schemas = generate::tables(&mut rng);
        let mut model = Model::new(schemas.clone(), self.fault);
        let region = self.open(&schemas).await?;
        let mut requests = Vec::new();
        let mut made = 0;
        while made < self.requests {
            let request = generate::request(&mut rng, &model, heavy);
            requests.push(request);
            let request = &requests[requests.len() - 1];
            match send(&region, &mut model, request, counts).await {
                Ok(pages) => made += pages,
                Err(mismatch) => return Err(self.shortened(&schemas, requests, mismatch, made + 1).await),
            }
        }
        for request in sweeps(&model.schemas) {
            requests.push(request);
            let request = &requests[requests.len() - 1];
            if let Err(mismatch) = send(&region, &mut model, request, counts).await {
                return Err(self.shortened(&schemas, requests, mismatch, made).await);
            }
        }
        Ok(())
    }

    async fn open(&self, schemas: &[Schema]) -> Result<Region, Box<Difference>> {
        let failed = |found: String| {
            Box::new(Difference {
                after: 0,
                requests: schemas.iter().map(|schema| ("CreateTable", schema.create())).collect(),
                expected: "tables".into(),
                found,
            })
        };
        let region = Region::open(self.engine).await.map_err(failed)?;
        for schema in schemas {
            let (status, reply) = region.call("CreateTable", schema.create().to_string().as_bytes()).await;
            if status != 200 {
                return Err(failed(reply.to_string()));
            }
        }
        Ok(region)
    }

    /// Leaves out requests as long as what is left still differs.
    async fn shortened(
        &self,
        schemas: &[Schema],
        requests: Vec<Request>,
        first: Mismatch,
        after: usize,
    ) -> Box<Difference> {
        let mut kept = requests;
        let (mut sent, mut last) = self.replay(schemas, &kept).await.unwrap_or((Vec::new(), first));
        let mut runs = 1;
        let mut step = (kept.len() / 2).max(1);
        loop {
            let mut at = 0;
            let mut shorter = false;
            while at < kept.len() && runs < SHRINK_RUNS_MAX {
                let mut fewer = kept.clone();
                fewer.drain(at..(at + step).min(kept.len()));
                runs += 1;
                match self.replay(schemas, &fewer).await {
                    Some((bodies, mismatch)) => {
                        fewer.truncate(bodies.len() + 1);
                        kept = fewer;
                        sent = bodies;
                        last = mismatch;
                        shorter = true;
                    }
                    None => at += step,
                }
            }
            if step == 1 && !shorter || runs >= SHRINK_RUNS_MAX {
                break;
            }
            step = (step / 2).max(1);
        }
        let creations = schemas.iter().map(|schema| ("CreateTable", schema.create()));
        let list = creations.chain(sent);
        Box::new(Difference {
            after,
            requests: list.chain([(last.operation, last.body)]).collect(),
            expected: last.expected,
            found: last.found,
        })
    }

    /// The requests that lead to a difference, as they are sent, and the difference; `None` if there is none.
    async fn replay(&self, schemas: &[Schema], requests: &[Request]) -> Option<(Vec<Sent>, Mismatch)> {
        let region = self.open(schemas).await.ok()?;
        let mut model = Model::new(schemas.to_vec(), self.fault);
        let mut sent = Vec::new();
        for request in requests {
            let body = request.body(&model.schemas);
            if let Err(mismatch) = send(&region, &mut model, request, &mut Counts::new()).await {
                return Some((sent, mismatch));
            }
            sent.push((request.operation(), body));
        }
        None
    }
}

/// Sends a request and, of a read, the pages after it; gives how many that were.
async fn send(region: &Region, model: &mut Model, request: &Request, counts: &mut Counts) -> Result<usize, Mismatch> {
    if let Action::Event(event) = &request.action {
        model.happen(*event);
        *counts.entry((request.kind(), "ok")).or_default() += 1;
        return region.happen(*event).await.map(|()| 1).map_err(|error| Mismatch {
            operation: request.operation(),
            body: request.body(&model.schemas),
            expected: "nothing".into(),
            found: error,
        });
    }
    let pages = request.pages();
    let mut start: Option<Start> = None;
    let mut token = Json::Null;
    for page in 1..=pages {
        let mut body = request.body(&model.schemas);
        if token.is_string() {
            body["NextToken"] = token.clone();
        } else if let Some(Start { key: Some(key), .. }) = &start {
            body["ExclusiveStartKey"] = crate::value::item_json(key);
        }
        let (status, reply) = region.call(request.operation(), body.to_string().as_bytes()).await;
        token = reply["NextToken"].clone();
        let reply = settled(reply);
        let answer = model.answer(request, start.as_ref());
        *counts.entry((request.kind(), answer.expected.outcome())).or_default() += 1;
        if !answer.expected.is_met_by(status, &reply) {
            return Err(Mismatch {
                operation: request.operation(),
                body,
                expected: match answer.expected {
                    Expected::Reply(reply) => reply.to_string(),
                    Expected::Refused(list) => format!("{list:?}"),
                    Expected::Each(each, rest) => format!("{each:?} and {rest}"),
                },
                found: format!("{status} {reply}"),
            });
        }
        start = answer.next;
        if start.is_none() {
            return Ok(page);
        }
    }
    Ok(pages)
}

/// Scans of all tables and indexes, once all of them can be read.
fn sweeps(schemas: &[Schema]) -> Vec<Request> {
    let request = |action| Request {
        style: 0,
        capacity: Some("INDEXES"),
        metrics: false,
        mistake: None,
        older: None,
        action,
    };
    let mut list = vec![request(Action::Event(Event::Build))];
    list.extend((0..schemas.len()).map(|table| request(Action::Table(TableRequest::Describe(table)))));
    for (table, schema) in schemas.iter().enumerate() {
        let indexes = schema.indexes.iter().map(|index| Some(index.name.clone()));
        for index in std::iter::once(None).chain(indexes) {
            let read = Read {
                table,
                index,
                query: None,
                filter: None,
                projection: None,
                select: None,
                limit: None,
                forward: None,
                consistent: false,
                start: None,
                segment: None,
                pages: 1000,
            };
            list.push(request(Action::Read(Box::new(read))));
        }
    }
    list
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a difference after {} requests; these lead to one:", self.after)?;
        for (operation, body) in &self.requests {
            writeln!(f, "  {operation} {}", shortened(&body.to_string()))?;
        }
        writeln!(
            f,
            "expected: {}\nfound:    {}",
            shortened(&self.expected),
            shortened(&self.found)
        )
    }
}

/// Large strings are of one letter: so many of them are said, not shown.
fn shortened(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some(at) = rest.find("xxxxxxxxxxxxxxxx") {
        let run = rest[at..].bytes().take_while(|byte| *byte == b'x').count();
        out += &format!("{}<{run} x>", &rest[..at]);
        rest = &rest[at + run..];
    }
    out + rest
}

/// Counts as a table: operations, outcomes, how often and how much of the whole.
pub fn report(counts: &Counts) -> Json {
    let total: usize = counts.values().sum();
    let mut shown = json!({ "requests": total });
    for (((operation, form), outcome), count) in counts {
        shown[format!("{operation} {form}").trim_end()][outcome] = (*count).into();
    }
    shown
}
