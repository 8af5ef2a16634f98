// Loading: one answer, an answer that is asked for again and again, and a list that grows page by page.

import { useCallback, useEffect, useRef, useState } from "react";
import { asApiError, isAbort, type ApiError } from "../api/errors";
import type { Page } from "../api/types";

export interface Resource<T> {
  /** The last good answer, also while a newer one is loading or has failed. */
  data: T | null;
  error: ApiError | null;
  loading: boolean;
  /** When the last good answer came, in milliseconds since 1970. */
  at: number | null;
  reload: () => void;
}

interface Held<T> {
  key: string;
  data: T | null;
  error: ApiError | null;
  at: number | null;
}

/**
 * Loads when `key` changes, and every `every` milliseconds after the last answer while the page is visible. An answer
 * that is no longer wanted is aborted; a failure keeps the last good answer.
 */
export function useResource<T>(key: string, load: (signal: AbortSignal) => Promise<T>, every = 0): Resource<T> {
  const [held, setHeld] = useState<Held<T>>({ key, data: null, error: null, at: null });
  const [loading, setLoading] = useState(true);
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;

  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const again = () => {
      if (every > 0 && !abort.signal.aborted) timer = setTimeout(run, every);
    };
    const run = async () => {
      if (document.hidden) {
        again();
        return;
      }
      setLoading(true);
      try {
        const data = await latest.current(abort.signal);
        setHeld({ key, data, error: null, at: Date.now() });
      } catch (error) {
        if (isAbort(error) || abort.signal.aborted) return;
        setHeld((last) => ({
          key,
          data: last.key === key ? last.data : null,
          error: asApiError(error),
          at: last.key === key ? last.at : null,
        }));
      }
      setLoading(false);
      again();
    };
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, every, turn]);

  const reload = useCallback(() => setTurn((last) => last + 1), []);
  const current = held.key === key ? held : { data: null, error: null, at: null };
  return { data: current.data, error: current.error, at: current.at, loading, reload };
}

export interface Paged<T> extends Resource<T[]> {
  incomplete: string | null;
  /** Null when there is no further page. */
  more: (() => void) | null;
  loadingMore: boolean;
  moreError: ApiError | null;
}

/** The pages that were loaded so far, from when a further one was first asked for. */
interface Grown<T> {
  key: string;
  items: T[];
  cursor: string | null;
  incomplete: string | null;
  loading: boolean;
  error: ApiError | null;
}

/** What is shown: rows that came since on top, then the loaded rows, each in its newest form. */
export function merge<T>(head: T[], grown: T[], id: (item: T) => string): T[] {
  const newest = new Map(head.map((item) => [id(item), item]));
  const loaded = new Set(grown.map(id));
  const before = head.filter((item) => !loaded.has(id(item)));
  return [...before, ...grown.map((item) => newest.get(id(item)) ?? item)];
}

/** A list with cursors. Only the first page is asked for again; rows that were loaded stay. */
export function usePaged<T>(
  key: string,
  id: (item: T) => string,
  load: (cursor: string | null, signal: AbortSignal) => Promise<Page<T>>,
  every = 0,
): Paged<T> {
  const head = useResource(key, (signal) => load(null, signal), every);
  const [held, setGrown] = useState<Grown<T> | null>(null);
  const abort = useRef<AbortController | null>(null);
  const grown = held?.key === key ? held : null;

  useEffect(() => () => abort.current?.abort(), [key]);

  const items = head.data === null ? null : merge(head.data.items, grown?.items ?? [], id);
  const cursor = grown === null ? (head.data?.next_cursor ?? null) : grown.cursor;
  const more = async () => {
    const controller = new AbortController();
    abort.current = controller;
    const before: Grown<T> = {
      key,
      items: items ?? [],
      cursor,
      incomplete: grown?.incomplete ?? null,
      loading: true,
      error: null,
    };
    setGrown(before);
    try {
      const page = await load(cursor, controller.signal);
      setGrown({
        ...before,
        items: merge([], [...before.items, ...page.items], id),
        cursor: page.next_cursor,
        incomplete: page.incomplete,
        loading: false,
      });
    } catch (error) {
      if (!isAbort(error)) setGrown({ ...before, loading: false, error: asApiError(error) });
    }
  };

  const reload = () => {
    abort.current?.abort();
    setGrown(null);
    head.reload();
  };
  return {
    ...head,
    data: items,
    reload,
    incomplete: grown?.incomplete ?? head.data?.incomplete ?? null,
    more: cursor === null || grown?.loading === true ? null : () => void more(),
    loadingMore: grown?.loading ?? false,
    moreError: grown?.error ?? null,
  };
}
