//! The arguments of `geodynamo account`.

use clap::{Args, Subcommand};
use geodynamo_command::OutputForm;

/// Arguments of `account`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct AccountArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: AccountCommand,
}

/// What to do with accounts.
#[derive(Clone, PartialEq, Debug, Subcommand)]
pub enum AccountCommand {
    /// Makes an account with tables and principals of its own; prints its root user's access key, only now
    #[command(
        after_help = "Examples:\n  geodynamo account create shop\n  geodynamo account create shop --id 111122223333 --output json"
    )]
    Create(CreateAccount),
    /// Lists the cluster's accounts
    #[command(after_help = "Examples:\n  geodynamo account list\n  geodynamo account list --output json")]
    List(ListAccounts),
    /// Gives an account's root user a new access key in the place of all that it has; prints it, only now
    #[command(after_help = "Examples:\n  geodynamo account reset-root 111122223333")]
    ResetRoot(OfAccount),
    /// Deletes an account that has no tables, with its users, roles, policies and keys
    #[command(after_help = "Examples:\n  geodynamo account delete 111122223333")]
    Delete(OfAccount),
}

/// Arguments of `account create`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct CreateAccount {
    /// What people call it
    pub name: String,
    /// Its twelve digits; some that nobody has if they are not told
    #[arg(long, value_name = "ACCOUNT")]
    pub id: Option<String>,
    /// The region's admin port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t = OutputForm::Table)]
    pub output: OutputForm,
}

/// Arguments of `account list`.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct ListAccounts {
    /// The region's admin port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
    /// How to print them
    #[arg(long, value_enum, default_value_t = OutputForm::Table)]
    pub output: OutputForm,
}

/// Arguments of commands on one account.
#[derive(Clone, PartialEq, Debug, Args)]
pub struct OfAccount {
    /// The account: twelve digits
    #[arg(value_name = "ACCOUNT")]
    pub id: String,
    /// The region's admin port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub admin: String,
    /// How to print it
    #[arg(long, value_enum, default_value_t = OutputForm::Table)]
    pub output: OutputForm,
}
