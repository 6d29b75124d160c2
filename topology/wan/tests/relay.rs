//! The emulator as its users see it: real UDP sockets on the loopback interface, and HTTP.

use std::{
    cell::Cell,
    net::SocketAddr,
    time::{Duration, Instant},
};

use geodynamo_topology::RegionName;
use geodynamo_wan::{Counters, ShapeChange, WanConfig, WanEmulator};
use tokio::{net::UdpSocket, time::timeout};

/// How long a test waits for what must come; only a failing test waits that long.
const DEADLINE: Duration = Duration::from_secs(20);
/// Packets of 1,200 bytes that a socket's buffer holds, whatever the reader does.
const ON_THE_WAY_MAX: u32 = 60;
/// How long after the last packet a test concludes that no more come.
const SILENCE: Duration = Duration::from_millis(300);

/// Regions `a` and `b` with their sockets; `a` dials `b` through the emulator.
struct Pair {
    emulator: WanEmulator,
    a: UdpSocket,
    b: UdpSocket,
    a_to_b: SocketAddr,
}

impl Pair {
    async fn start(seed: u64) -> Self {
        let a = UdpSocket::bind("127.0.0.1:0").await.expect("a loopback socket");
        let b = UdpSocket::bind("127.0.0.1:0").await.expect("a loopback socket");
        let region = |name: &str, socket: &UdpSocket| {
            (
                RegionName::new(name).expect("a name"),
                socket.local_addr().expect("it is bound"),
            )
        };
        let config = WanConfig {
            seed,
            ..WanConfig::new([region("a", &a), region("b", &b)])
        };
        let emulator = WanEmulator::start(config).await.expect("it starts");
        let a_to_b = emulator.address("a", "b").expect("the link is there");
        let pair = Self { emulator, a, b, a_to_b };
        pair.shape(
            "a",
            "b",
            ShapeChange {
                delay_ms: Some(0.0),
                ..ShapeChange::default()
            },
        );
        pair.shape(
            "b",
            "a",
            ShapeChange {
                delay_ms: Some(0.0),
                ..ShapeChange::default()
            },
        );
        pair
    }

    fn shape(&self, from: &str, to: &str, change: ShapeChange) {
        self.emulator.change(from, to, &change).expect("the change is good");
    }

    /// Sends numbered packets from `a` to `b` and returns the numbers and times of those that arrive. No more than a few
    /// are under way at once, so that none is lost for lack of buffers.
    async fn flood(&self, packets: u32, len: usize) -> Vec<(u32, Instant)> {
        let mut arrivals = Vec::new();
        let mut buffer = vec![0; 65_535];
        for number in 0..packets {
            let mut packet = vec![0; len];
            packet[..4].copy_from_slice(&number.to_be_bytes());
            self.a.send_to(&packet, self.a_to_b).await.expect("it is sent");
            if number % 16 == 15 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            while let Ok(len) = self.b.try_recv(&mut buffer) {
                arrivals.push((number_of(&buffer[..len]), Instant::now()));
            }
        }
        while let Ok(received) = timeout(SILENCE, self.b.recv(&mut buffer)).await {
            let len = received.expect("it is received");
            arrivals.push((number_of(&buffer[..len]), Instant::now()));
        }
        arrivals
    }
}

fn number_of(packet: &[u8]) -> u32 {
    u32::from_be_bytes(packet[..4].try_into().expect("four bytes"))
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_535];
    let (len, source) = timeout(DEADLINE, socket.recv_from(&mut buffer))
        .await
        .expect("in time")
        .expect("received");
    buffer.truncate(len);
    (buffer, source)
}

#[tokio::test]
async fn packets_go_there_and_back_whole() {
    let pair = Pair::start(1).await;
    for len in [0, 1, 1200, 1452, 9000, 65_507] {
        let packet: Vec<u8> = (0..len).map(|at| at as u8).collect();
        pair.a.send_to(&packet, pair.a_to_b).await.unwrap();
        let (there, client) = receive(&pair.b).await;
        assert_eq!(there, packet);
        pair.b.send_to(&there, client).await.unwrap();
        let (back, source) = receive(&pair.a).await;
        assert_eq!(back, packet);
        assert_eq!(source, pair.a_to_b, "a reply comes from the address that was dialled");
    }
    // Another sender gets its own replies.
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    other.send_to(b"other", pair.a_to_b).await.unwrap();
    let (_, client) = receive(&pair.b).await;
    pair.b.send_to(b"reply", client).await.unwrap();
    assert_eq!(receive(&other).await.0, b"reply");
}

#[tokio::test]
async fn regions_start_with_real_delays() {
    let target = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let regions = ["us-east-1", "eu-west-1", "ap-northeast-1"].map(|name| RegionName::new(name).unwrap());
    let address = target.local_addr().unwrap();
    let emulator = WanEmulator::start(WanConfig::new(regions.map(|name| (name, address))))
        .await
        .unwrap();
    let delays: Vec<_> = emulator
        .links()
        .iter()
        .map(|link| {
            (
                link.from.to_string(),
                link.to.to_string(),
                link.shape.delay.as_secs_f64() * 1000.0,
            )
        })
        .collect();
    let expect = [
        ("ap-northeast-1", "eu-west-1", 106.0),
        ("ap-northeast-1", "us-east-1", 72.5),
        ("eu-west-1", "ap-northeast-1", 106.0),
        ("eu-west-1", "us-east-1", 40.5),
        ("us-east-1", "ap-northeast-1", 72.5),
        ("us-east-1", "eu-west-1", 40.5),
    ];
    assert_eq!(
        delays,
        expect.map(|(from, to, ms)| (from.to_owned(), to.to_owned(), ms))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delay_is_added_in_each_direction_by_its_own_link() {
    let pair = Pair::start(1).await;
    pair.shape(
        "a",
        "b",
        ShapeChange {
            delay_ms: Some(30.0),
            ..ShapeChange::default()
        },
    );
    pair.shape(
        "b",
        "a",
        ShapeChange {
            delay_ms: Some(60.0),
            ..ShapeChange::default()
        },
    );
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let start = Instant::now();
        pair.a.send_to(b"ping", pair.a_to_b).await.unwrap();
        let (_, client) = receive(&pair.b).await;
        there.push(start.elapsed());
        let start = Instant::now();
        pair.b.send_to(b"pong", client).await.unwrap();
        receive(&pair.a).await;
        back.push(start.elapsed());
    }
    for (times, delay) in [(there, 30), (back, 60)] {
        // Never early; the quickest of twenty is close, however busy the machine is.
        let least = times.iter().min().unwrap();
        assert!(*least >= Duration::from_millis(delay), "{times:?}");
        assert!(*least < Duration::from_millis(delay + 20), "{times:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jitter_spreads_arrivals_and_keeps_their_order() {
    let pair = Pair::start(3).await;
    pair.shape(
        "a",
        "b",
        ShapeChange {
            delay_ms: Some(10.0),
            jitter_ms: Some(40.0),
            ..ShapeChange::default()
        },
    );
    let mut delays = Vec::new();
    for _ in 0..40 {
        let start = Instant::now();
        pair.a.send_to(b"ping", pair.a_to_b).await.unwrap();
        receive(&pair.b).await;
        delays.push(start.elapsed());
    }
    delays.sort();
    assert!(delays[0] >= Duration::from_millis(10), "{delays:?}");
    // Between the quickest and the slowest there is about the jitter of 40 ms.
    assert!(delays[39] - delays[0] > Duration::from_millis(20), "{delays:?}");
    let numbers: Vec<_> = pair
        .flood(500, 100)
        .await
        .into_iter()
        .map(|(number, _)| number)
        .collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loss_duplication_and_reordering() {
    let pair = Pair::start(4).await;
    let none = ShapeChange {
        loss: Some(0.0),
        duplicate: Some(0.0),
        reorder: Some(0.0),
        ..ShapeChange::default()
    };
    let run = async |change| {
        pair.shape("a", "b", change);
        pair.flood(2000, 100)
            .await
            .into_iter()
            .map(|(number, _)| number)
            .collect::<Vec<_>>()
    };

    let all = run(none).await;
    assert_eq!(all, (0..2000).collect::<Vec<_>>());

    // A share of 0.2 of 2000 is 400; six standard deviations are 107.
    let lossy = run(ShapeChange {
        loss: Some(0.2),
        ..none
    })
    .await;
    assert!((1493..1707).contains(&lossy.len()), "{}", lossy.len());
    assert!(lossy.is_sorted());

    let mut doubled = run(ShapeChange {
        duplicate: Some(0.2),
        ..none
    })
    .await;
    assert!((2293..2507).contains(&doubled.len()), "{}", doubled.len());
    doubled.sort_unstable();
    doubled.dedup();
    assert_eq!(doubled.len(), 2000);

    let mut mixed = run(ShapeChange {
        reorder: Some(0.2),
        ..none
    })
    .await;
    let late = mixed.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(late > 20, "{late}");
    mixed.sort_unstable();
    assert_eq!(mixed, all);

    let counters = pair.emulator.links()[0].counters;
    assert_eq!(counters.received, 8000);
    assert_eq!(counters.delivered, 8000 - counters.lost + counters.duplicated);
    assert_eq!(
        (counters.overflowed, counters.cut_off, counters.in_flight_bytes),
        (0, 0, 0)
    );
    assert!(counters.reordered > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bandwidth_limits_the_rate() {
    let pair = Pair::start(5).await;
    pair.shape(
        "a",
        "b",
        ShapeChange {
            bandwidth_mbps: Some(Some(8.0)),
            ..ShapeChange::default()
        },
    );
    // 100 packets of 1000 bytes take 100 ms at 8 Mbit/s, and fit into the queue.
    let arrivals = pair.flood(100, 1000).await;
    assert_eq!(arrivals.len(), 100);
    let took = arrivals[99].1 - arrivals[0].1;
    assert!(took > Duration::from_millis(80), "{took:?}");
    // A thousand at once do not fit: the queue drops what would wait too long.
    let arrivals = pair.flood(1000, 1000).await;
    assert!((200..900).contains(&arrivals.len()), "{}", arrivals.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_stops_one_direction_until_it_is_healed() {
    let pair = Pair::start(6).await;
    pair.a.send_to(b"hello", pair.a_to_b).await.unwrap();
    let (_, client) = receive(&pair.b).await;

    pair.shape(
        "b",
        "a",
        ShapeChange {
            cut: Some(true),
            ..ShapeChange::default()
        },
    );
    pair.b.send_to(b"dropped", client).await.unwrap();
    pair.a.send_to(b"passes", pair.a_to_b).await.unwrap();
    assert_eq!(receive(&pair.b).await.0, b"passes");
    let link = |at: usize| pair.emulator.links()[at].counters;
    let start = Instant::now();
    while link(1).cut_off == 0 && start.elapsed() < DEADLINE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((link(1).cut_off, link(0).cut_off), (1, 0));

    pair.shape(
        "b",
        "a",
        ShapeChange {
            cut: Some(false),
            ..ShapeChange::default()
        },
    );
    pair.b.send_to(b"healed", client).await.unwrap();
    assert_eq!(
        receive(&pair.a).await.0,
        b"healed",
        "what was sent during the cut never arrives"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_does_not_listen_harms_nothing() {
    let pair = Pair::start(7).await;
    let target = pair.b.local_addr().unwrap();
    let Pair { emulator, a, b, a_to_b } = pair;
    drop(b);
    for _ in 0..10 {
        a.send_to(b"nobody hears", a_to_b).await.unwrap();
    }
    let start = Instant::now();
    let settled = |counters: Counters| counters.received == 10 && counters.in_flight_bytes == 0;
    while !settled(emulator.links()[0].counters) && start.elapsed() < DEADLINE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The region comes back on the same port: some of the next packets reach it.
    let b = UdpSocket::bind(target).await.unwrap();
    let mut buffer = [0; 64];
    let start = Instant::now();
    loop {
        a.send_to(b"again", a_to_b).await.unwrap();
        if let Ok(len) = timeout(Duration::from_millis(20), b.recv(&mut buffer)).await {
            assert_eq!(&buffer[..len.unwrap()], b"again");
            break;
        }
        assert!(start.elapsed() < DEADLINE);
    }
}

/// How much later than asked packets come out. Prints the figures; what it asserts is only that none is lost or early. No
/// more are on the way than the sockets hold, for the machine may be busy with other things.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn added_error_of_the_delay() {
    let pair = Pair::start(8).await;
    pair.shape(
        "a",
        "b",
        ShapeChange {
            delay_ms: Some(40.0),
            ..ShapeChange::default()
        },
    );
    for (packets, burst) in [(400_u32, 1_u32), (2_000, 20)] {
        let start = Instant::now();
        let (b, epoch, arrived) = (&pair.b, start, &Cell::new(0));
        let receiver = async {
            let mut errors = Vec::new();
            let mut buffer = vec![0; 2048];
            while arrived.get() < packets
                && let Ok(received) = timeout(DEADLINE, b.recv(&mut buffer)).await
            {
                let sent = u64::from_be_bytes(buffer[..8].try_into().unwrap());
                let taken = epoch.elapsed().saturating_sub(Duration::from_nanos(sent));
                assert!(received.is_ok() && taken >= Duration::from_millis(40), "{taken:?}");
                errors.push(taken - Duration::from_millis(40));
                arrived.set(arrived.get() + 1);
            }
            errors
        };
        let sender = async {
            let mut packet = [0; 1200];
            for number in 0..packets {
                let on_the_way = || number - arrived.get();
                let room = async {
                    while on_the_way() >= ON_THE_WAY_MAX {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                // Room that never comes: packets were lost, which the count tells of.
                if timeout(DEADLINE, room).await.is_err() {
                    break;
                }
                packet[..8].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_be_bytes());
                pair.a.send_to(&packet, pair.a_to_b).await.unwrap();
                if number % burst == burst - 1 {
                    tokio::time::sleep_until((start + Duration::from_micros(u64::from(number) * 50)).into()).await;
                }
            }
            start.elapsed()
        };
        let (mut errors, took) = tokio::join!(receiver, sender);
        errors.sort();
        let at = |share: f64| errors[((errors.len() - 1) as f64 * share) as usize];
        println!(
            "{packets} packets in {took:?}, {} arrived; added error p50 {:?}, p99 {:?}, max {:?}",
            errors.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
        assert_eq!(errors.len(), packets as usize, "a link without loss loses nothing");
    }
}

/// A region of two nodes: both get what is sent to it, and what either answers comes back.
#[tokio::test]
async fn all_nodes_of_a_region_get_what_is_sent_to_it() {
    let bind = async || UdpSocket::bind("127.0.0.1:0").await.expect("a loopback socket");
    let (a, first, second) = (bind().await, bind().await, bind().await);
    let address = |socket: &UdpSocket| socket.local_addr().expect("it is bound");
    let name = |name: &str| RegionName::new(name).expect("a name");
    let mut config = WanConfig::new([(name("a"), address(&a)), (name("b"), address(&first))]);
    config.regions[1].targets.push(address(&second));
    let emulator = WanEmulator::start(config).await.expect("it starts");
    let a_to_b = emulator.address("a", "b").expect("the link is there");
    a.send_to(b"question", a_to_b).await.expect("it is sent");
    let mut buffer = [0; 64];
    for node in [&first, &second] {
        let (len, from) = node.recv_from(&mut buffer).await.expect("it arrives");
        assert_eq!(&buffer[..len], b"question");
        node.send_to(b"answer", from).await.expect("it is sent");
        let (len, from) = a.recv_from(&mut buffer).await.expect("it comes back");
        assert_eq!((&buffer[..len], from), (&b"answer"[..], a_to_b));
    }
}
