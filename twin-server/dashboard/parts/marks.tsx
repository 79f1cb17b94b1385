import type { ReactNode } from 'react';

/** Small drawings. Each state has a shape of its own, so that colour is never the only sign. */

export function TwinMark() {
  return (
    <svg className="twin-mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="6" />
      <path d="M4 18c4 0 4-9 8-9s4 12 8 12 4-8 8-8" />
      <path d="M4 22c4 0 4-9 8-9s4 12 8 12 4-8 8-8" opacity=".45" />
    </svg>
  );
}

export function AlarmMark() {
  return (
    <svg className="mark" viewBox="0 0 16 16" aria-hidden="true">
      <path d="M8 1.5 15.2 14.5H.8Z" fill="currentColor" />
      <path d="M7.1 5.6h1.8l-.3 4.3H7.4zM7.2 11h1.6v1.6H7.2z" className="cut" />
    </svg>
  );
}

export function WarningMark() {
  return (
    <svg className="mark" viewBox="0 0 16 16" aria-hidden="true">
      <path d="M8 1 15 8 8 15 1 8Z" fill="currentColor" />
    </svg>
  );
}

/** A panel's body where there is nothing to show yet: what is missing, and what is waited for. */
export function Empty({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      <p>{children}</p>
    </div>
  );
}
