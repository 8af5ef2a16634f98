// What stands where data is not: loading, empty, failed, incomplete.

import type { ReactNode } from "react";
import type { ApiError } from "../api/errors";
import { Icon, type IconName } from "./Icon";

export function Loading({ rows = 6, what }: { rows?: number; what: string }) {
  const lines = Array.from({ length: rows }, (_, index) => <span key={`line-${index}`} />);
  return (
    <div className="skeleton" role="status" aria-label={`Loading ${what}`}>
      {lines}
    </div>
  );
}

export function Empty({ title, children, icon = "search" }: { title: string; children?: ReactNode; icon?: IconName }) {
  return (
    <div className="state">
      <Icon name={icon} />
      <strong>{title}</strong>
      {children}
    </div>
  );
}

/** A failure with nothing to show in its place. */
export function Failure({ error, retry }: { error: ApiError; retry: () => void }) {
  return (
    <div className="state failed" role="alert">
      <Icon name="findings" />
      <strong>{error.message}</strong>
      {error.detail !== null && <p>{error.detail}</p>}
      <button type="button" className="button" onClick={retry}>
        <Icon name="reload" small /> Try again
      </button>
    </div>
  );
}

/** A failure above data that is still shown. */
export function StaleBanner({ error, retry }: { error: ApiError; retry: () => void }) {
  return (
    <div className="banner failed" role="alert">
      <Icon name="findings" small />
      <span>
        {error.message}. What you see is the last good answer.{error.detail === null ? "" : ` ${error.detail}`}
      </span>
      <button type="button" className="button small" onClick={retry}>
        Try again
      </button>
    </div>
  );
}

export function Banner({ children }: { children: ReactNode }) {
  return (
    <div className="banner" role="status">
      <Icon name="findings" small />
      <span>{children}</span>
    </div>
  );
}

/** Loading, failed or empty until there is data; then the children, below a banner when a refresh has failed. */
export function Resolve<T>(props: {
  resource: { data: T | null; error: ApiError | null; reload: () => void };
  what: string;
  empty?: (data: T) => ReactNode;
  children: (data: T) => ReactNode;
}) {
  const { data, error, reload } = props.resource;
  if (data === null) return error === null ? <Loading what={props.what} /> : <Failure error={error} retry={reload} />;
  const empty = props.empty?.(data) ?? null;
  return (
    <>
      {error !== null && <StaleBanner error={error} retry={reload} />}
      {empty ?? props.children(data)}
    </>
  );
}
