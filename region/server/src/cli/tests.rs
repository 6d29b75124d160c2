use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

/// Each command, and each group of commands, has examples in its help, and each example is a command of this program.
#[test]
fn help_has_examples_that_are_taken() {
    fn examine(command: &clap::Command, path: &str) -> usize {
        let path = format!("{path} {}", command.get_name());
        let inner: Vec<_> = command.get_subcommands().filter(|inner| !inner.is_hide_set()).collect();
        let mut found = inner.iter().map(|inner| examine(inner, &path)).sum();
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.starts_with("Examples:\n"), "no examples:{path}");
        for line in help.lines().skip(1).take_while(|line| !line.is_empty()) {
            let line = line.split(" > ").next().unwrap_or_default().trim();
            let parsed = Cli::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            assert!(line.starts_with(path.trim()), "{line} is no example of{path}");
            found += 1;
        }
        found
    }
    assert!(examine(&Cli::command(), "") > 60);
}

/// What is no answer: processes that go on, and texts for other programs.
const WITHOUT_OUTPUT: [&str; 4] = ["serve", "dev", "demo", "completions"];

/// Each command that answers does so for people or for programs, as `--output` says.
#[test]
fn answers_have_two_forms() {
    fn examine(command: &clap::Command, path: &str) -> usize {
        let path = format!("{path} {}", command.get_name());
        let inner: Vec<_> = command.get_subcommands().filter(|inner| !inner.is_hide_set()).collect();
        if !inner.is_empty() {
            let inner = inner.iter().filter(|inner| inner.get_name() != "help");
            return inner.map(|inner| examine(inner, &path)).sum();
        }
        let output = command.get_arguments().find(|argument| argument.get_id() == "output");
        let is_answer = !WITHOUT_OUTPUT.contains(&command.get_name());
        assert_eq!(output.is_some(), is_answer, "--output of{path}");
        let forms = output.map(clap::Arg::get_possible_values).unwrap_or_default();
        let forms: Vec<_> = forms.iter().map(|form| form.get_name().to_owned()).collect();
        assert!(!is_answer || forms == ["table", "json"], "{path}: {forms:?}");
        1
    }
    let mut commands = Cli::command();
    // Arguments of a command that are its subcommands', too, are theirs only then.
    commands.build();
    let seen = commands
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help");
    assert!(seen.map(|command| examine(command, " geodynamo")).sum::<usize>() > 30);
}

#[test]
fn arguments() {
    let check = |line: &str, expect: Option<Command>| {
        let parsed = Cli::try_parse_from(line.split_whitespace()).ok().map(|cli| cli.command);
        assert_eq!(parsed, expect, "{line}");
    };
    check(
        "geodynamo serve --config a.toml",
        Some(Command::Serve(Serve {
            config: "a.toml".into(),
            auth: Auth::Enforce,
            s3_dir: None,
            stop_with_stdin: false,
        })),
    );
    check("geodynamo serve", None);
    check("geodynamo", None);
    check(
        "geodynamo demo --json",
        Some(Command::Demo(Demo {
            auth: Auth::Enforce,
            json: true,
            engine: DemoEngine::Rocksdb,
            data: None,
            s3_dir: None,
        })),
    );
    check("geodynamo demo --engine mysql", None);
    check("geodynamo schema cassandra", None);
    check("geodynamo schema cassandra --config a --keyspace b", None);
    check("geodynamo dev --region EU", None);
    check("geodynamo dev --auth maybe", None);
    check("geodynamo certs --out x", None);
    check("geodynamo archive verify", None);
    check("geodynamo conflicts show t", None);
    check("geodynamo region forget", None);
    check(
        "geodynamo verify t --timeout 5",
        Some(Command::Verify(VerifyArguments {
            table: Some("t".into()),
            admin: "127.0.0.1:8001".into(),
            report: false,
            timeout: 5,
            output: OutputForm::Table,
        })),
    );
    check(
        "geodynamo conflicts list t --output json",
        Some(Command::Conflicts(ConflictsArguments {
            command: ConflictsCommand::List(ListConflicts {
                table: "t".into(),
                admin: "127.0.0.1:8001".into(),
                limit: 100,
                output: OutputForm::Json,
            }),
        })),
    );
    check("geodynamo restore --from a", None);
    check(
        "geodynamo restore --from a --config c --table t --table u --at 7",
        Some(Command::Restore(Restore {
            command: None,
            archive: RestoreArchive {
                from: Some("a".into()),
                config: Some("c".into()),
                region: None,
                at: Some(7),
                tables: vec!["t".into(), "u".into()],
                output: OutputForm::Table,
            },
        })),
    );
    check("geodynamo restore", None);
    check("geodynamo restore --from a table t --to u", None);
    check("geodynamo restore table t", None);
    check("geodynamo top --every 0", None);
    check("geodynamo export start t --to s3://b --at 1h --from 2h", None);
    check(
        "geodynamo certs --topology t --out x",
        Some(Command::Certs(Certs {
            topology: "t".into(),
            out: "x".into(),
            printed: Printed::default(),
        })),
    );
    check(
        "geodynamo dev --port 0 --auth enforce --data d --s3-dir b",
        Some(Command::Dev(Dev {
            port: 0,
            admin_port: 0,
            host: [127, 0, 0, 1].into(),
            data: Some("d".into()),
            s3_dir: Some("b".into()),
            region: RegionName::new("us-east-1").unwrap(),
            auth: Auth::Enforce,
            throttle: false,
            delay_transient_statuses: false,
            encrypt: false,
            functions: Vec::new(),
        })),
    );
}
