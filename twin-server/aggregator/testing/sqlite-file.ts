import Database from 'libsql';

/** Reads a server's or an agent's database beside whoever has it open: what it finds is one moment of it. */
export interface SqliteFile {
  all<T>(sql: string, ...values: unknown[]): T[];
  one<T>(sql: string, ...values: unknown[]): T | undefined;
  close(): void;
}

export function readSqliteFile(file: string): SqliteFile {
  const db = new Database(file);
  db.exec('PRAGMA busy_timeout = 5000; BEGIN');
  return {
    all: <T>(sql: string, ...values: unknown[]) => db.prepare(sql).all(...values) as T[],
    one: <T>(sql: string, ...values: unknown[]) => db.prepare(sql).get(...values) as T | undefined,
    close: () => void db.close(),
  };
}
