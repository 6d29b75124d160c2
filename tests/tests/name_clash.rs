//! Regions as processes that make tables of one name before they hear of each other, and then ask for replicas.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeValue, CreateReplicationGroupMemberAction, DeleteReplicationGroupMemberAction, ReplicaDescription,
    ReplicaStatus, ReplicationGroupUpdate, TableDescription, TableStatus,
};
use geodynamo_loadgen::tables;
use geodynamo_tests::regions::{Regions, THREE};
use geodynamo_tests::{Failure, sdk, wait_until};

const SOON: Duration = Duration::from_secs(60);

/// The row of a bug report: `t` is made in one region, then in another, which acknowledges an item; and within the time that
/// a message takes, the first asks the second for a replica. In both directions, with the link between them whole and cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_regions_own_table_is_nobodys_replica() -> Result<(), Failure> {
    let regions = Regions::start(&THREE).await?;
    let mut refused = 0;
    for (asker, owner, cut) in [(0, 1, false), (1, 0, false), (0, 1, true), (1, 0, true)] {
        let name = format!("clash-{asker}-{cut}");
        let scenario = Scenario {
            regions: &regions,
            name: &name,
            asker,
            owner,
        };
        refused += u32::from(scenario.play(cut).await?);
    }
    // Where the links were cut, the asking regions could not know.
    assert!(refused >= 2, "{refused}");
    Ok(())
}

struct Scenario<'a> {
    regions: &'a Regions,
    name: &'a str,
    asker: usize,
    owner: usize,
}

impl Scenario<'_> {
    /// Whether it was the owner that said no; otherwise the asking region knew already.
    async fn play(&self, cut: bool) -> Result<bool, Failure> {
        let [asking, owning] = [self.asker, self.owner].map(|number| &self.regions.cluster.nodes[number]);
        let [ask, own] = [asking, owning].map(|node| sdk(&node.endpoint()));
        let taken = format!(
            "Failed to create a the new replica of table with name: '{}' because one or more replicas already existed as \
             tables.",
            self.name
        );
        if cut {
            self.regions.wan.cut(&asking.region, &owning.region, true)?;
        }
        tables::create(&asking.endpoint(), self.name).await?;
        tables::create(&owning.endpoint(), self.name).await?;
        let item = own.put_item().table_name(self.name).item("pk", text("mine"));
        item.send().await?;
        let uuid = table(&own, self.name).await?.table_id().map(str::to_owned);
        let asked = self.update(&ask, create(&owning.region)?).await;
        let answered = asked.is_ok();
        if let Err((code, message)) = asked {
            assert!(!cut, "it cannot know");
            assert_eq!((code.as_str(), &message), ("ValidationException", &taken));
        } else {
            if cut {
                let replica = self.replica(&ask).await?.ok_or("it is not shown")?;
                assert_eq!(replica.replica_status(), Some(&ReplicaStatus::Creating));
                self.assert_untouched(&own, uuid.as_deref()).await?;
                self.regions.wan.cut(&asking.region, &owning.region, false)?;
            }
            wait_until("the replica has failed", SOON, async || {
                self.assert_untouched(&own, uuid.as_deref()).await?;
                let replica = self.replica(&ask).await?.ok_or("it is not shown")?;
                assert_ne!(replica.replica_status(), Some(&ReplicaStatus::Active));
                let told = replica.replica_status_description() == Some(&taken);
                Ok(told && replica.replica_status() == Some(&ReplicaStatus::CreationFailed))
            })
            .await?;
            wait_until("all regions say so", SOON, async || {
                let shown = |node: &geodynamo_loadgen::cluster::Node| {
                    let metrics = node.admin("/metrics").map(|(_, text)| text);
                    metrics.is_ok_and(|text| text.contains("geodynamo_replicas_failed 1\n"))
                };
                Ok(shown(asking) && shown(owning))
            })
            .await?;
            let (_, metrics) = owning.admin("/metrics")?;
            assert!(metrics.contains("geodynamo_replicas_refused_total "), "{metrics}");
            assert!(!metrics.contains("geodynamo_replicas_refused_total 0\n"));
            let status = table(&ask, self.name).await?.table_status().cloned();
            assert_eq!(status, Some(TableStatus::Active), "it can be changed");

            let taken_back = self.update(&ask, delete(&owning.region)?).await;
            taken_back.map_err(|(code, message)| format!("{code}: {message}"))?;
            assert!(self.replica(&ask).await?.is_none());
            wait_until("nothing is left of it", SOON, async || {
                let (_, metrics) = owning.admin("/metrics")?;
                Ok(metrics.contains("geodynamo_replicas_failed 0\n"))
            })
            .await?;
        }
        self.assert_untouched(&own, uuid.as_deref()).await?;
        assert!(self.replica(&ask).await?.is_none());
        // From here on the asking region knows.
        wait_until("it is refused at once", SOON, async || {
            match self.update(&ask, create(&owning.region)?).await {
                Err((code, message)) if message == taken => Ok(code == "ValidationException"),
                Err((code, message)) => Err(format!("{code}: {message}").into()),
                // The owner's table was not known here yet.
                Ok(()) => {
                    wait_until("the replica has failed", SOON, async || {
                        let replica = self.replica(&ask).await?.ok_or("it is not shown")?;
                        Ok(replica.replica_status() == Some(&ReplicaStatus::CreationFailed))
                    })
                    .await?;
                    let taken_back = self.update(&ask, delete(&owning.region)?).await;
                    taken_back.map_err(|(code, message)| format!("{code}: {message}"))?;
                    Ok(false)
                }
            }
        })
        .await?;
        self.assert_untouched(&own, uuid.as_deref()).await?;
        Ok(answered)
    }

    async fn update(&self, client: &Client, update: ReplicationGroupUpdate) -> Result<(), (String, String)> {
        let request = client.update_table().table_name(self.name).replica_updates(update);
        let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
        let sent = request.send().await;
        sent.map(drop)
            .map_err(|error| (part(error.code()), part(error.message())))
    }

    /// The owner's replica, as a region shows it.
    async fn replica(&self, client: &Client) -> Result<Option<ReplicaDescription>, Failure> {
        let region = &self.regions.cluster.nodes[self.owner].region;
        let table = table(client, self.name).await?;
        let found = table
            .replicas()
            .iter()
            .find(|replica| replica.region_name() == Some(region));
        Ok(found.cloned())
    }

    /// The owner shows its own table, ACTIVE, with its item, and no replicas.
    async fn assert_untouched(&self, own: &Client, uuid: Option<&str>) -> Result<(), Failure> {
        let table = table(own, self.name).await?;
        assert_eq!(table.table_id(), uuid);
        assert_eq!(table.table_status(), Some(&TableStatus::Active));
        assert!(table.replicas().is_empty());
        let item = own
            .get_item()
            .table_name(self.name)
            .key("pk", text("mine"))
            .send()
            .await?;
        assert!(item.item().is_some(), "an acknowledged item is out of sight");
        Ok(())
    }
}

async fn table(client: &Client, name: &str) -> Result<TableDescription, Failure> {
    let about = client.describe_table().table_name(name).send().await?;
    Ok(about.table.ok_or("no description")?)
}

fn create(region: &str) -> Result<ReplicationGroupUpdate, Failure> {
    let create = CreateReplicationGroupMemberAction::builder()
        .region_name(region)
        .build()?;
    Ok(ReplicationGroupUpdate::builder().create(create).build())
}

fn delete(region: &str) -> Result<ReplicationGroupUpdate, Failure> {
    let delete = DeleteReplicationGroupMemberAction::builder()
        .region_name(region)
        .build()?;
    Ok(ReplicationGroupUpdate::builder().delete(delete).build())
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.into())
}
