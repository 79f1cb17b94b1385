import type { ReactNode } from 'react';

interface ScrollRegionProps {
  /** Of what it holds, for who does not see it. */
  readonly label: string;
  /** Besides its own. */
  readonly className?: string;
  readonly children: ReactNode;
}

/** Holds what may be wider or longer than its place: who uses the keyboard has to reach it to scroll it. */
export function ScrollRegion({ label, className, children }: ScrollRegionProps) {
  return (
    <section
      className={className === undefined ? 'scroll' : `scroll ${className}`}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
      tabIndex={0}
      aria-label={label}
    >
      {children}
    </section>
  );
}
