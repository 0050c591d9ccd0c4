//! Databases as older versions left them, for tests.

use sqlx::migrate::{Migration, Migrator};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::{MIGRATIONS, postgres};
use crate::store::Config;

/// Makes the schema of the migrations below `version`, and runs the statements.
pub(in crate::store) async fn write(config: &Config, version: i64, statements: &[String]) {
    let before = |all: &Migrator| {
        let older: Vec<Migration> = all.iter().filter(|one| one.version < version).cloned().collect();
        Migrator::with_migrations(older)
    };
    match config {
        Config::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
            let mut connection = options.connect().await.unwrap();
            before(&MIGRATIONS).run(&mut connection).await.unwrap();
            for statement in statements {
                sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut connection).await.unwrap();
            }
            connection.close().await.unwrap();
        }
        Config::Postgres(config) => {
            let mut connection = config.options().unwrap().connect().await.unwrap();
            before(&postgres::migrations()).run(&mut connection).await.unwrap();
            for statement in statements {
                sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut connection).await.unwrap();
            }
            connection.close().await.unwrap();
        }
    }
}
