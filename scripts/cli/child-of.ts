/** How long a process that has lost its parent may take to stop on its own. */
const GRACE_MS = 8_000;

/** A process started by the demonstration or the field trial ends with it, even where that was killed: no orphans. */
export function endWithParent(): void {
  if (process.connected !== true) return;
  process.on('disconnect', () => {
    process.kill(process.pid, 'SIGTERM');
    setTimeout(() => process.exit(1), GRACE_MS).unref();
  });
  // The channel itself must not keep a process alive that has finished.
  process.channel?.unref();
}
