// Which part of a picture is seen: moved by dragging, keys and buttons, held in one place.

import { useCallback, useEffect, useRef, useState, type RefObject } from "react";

export interface View {
  x: number;
  y: number;
  /** Pixels of the screen per unit of the picture. */
  scale: number;
}

export const SCALE_MIN = 0.15;
export const SCALE_MAX = 2.5;
const MARGIN = 16;

interface Size {
  width: number;
  height: number;
}

interface Box extends Size {
  x: number;
  y: number;
}

/** The whole picture, never enlarged; `wide` fits its width only and begins at its top. */
export function fitView(picture: Size, window: Size, wide: boolean): View {
  const across = (window.width - 2 * MARGIN) / Math.max(picture.width, 1);
  const down = (window.height - 2 * MARGIN) / Math.max(picture.height, 1);
  const least = wide ? 0.55 : SCALE_MIN;
  const scale = Math.min(1, Math.max(least, wide ? across : Math.min(across, down)));
  const x = Math.max(MARGIN, (window.width - picture.width * scale) / 2);
  return { x, y: MARGIN / 2, scale };
}

/** Enlarges around a point of the screen. */
export function zoomView(view: View, factor: number, at: { x: number; y: number }): View {
  const scale = Math.min(SCALE_MAX, Math.max(SCALE_MIN, view.scale * factor));
  const real = scale / view.scale;
  return { scale, x: at.x - (at.x - view.x) * real, y: at.y - (at.y - view.y) * real };
}

/** Moves the picture just so far that a box of it can be seen. */
export function reveal(view: View, box: Box, window: Size): View {
  const pad = 40;
  const left = box.x * view.scale + view.x;
  const top = box.y * view.scale + view.y;
  const right = left + box.width * view.scale;
  const bottom = top + box.height * view.scale;
  const dx = left < pad ? pad - left : right > window.width - pad ? window.width - pad - right : 0;
  const dy = top < pad ? pad - top : bottom > window.height - pad ? window.height - pad - bottom : 0;
  return dx === 0 && dy === 0 ? view : { ...view, x: view.x + dx, y: view.y + dy };
}

export interface ViewControl {
  view: View;
  frame: RefObject<SVGSVGElement | null>;
  zoom: (factor: number) => void;
  move: (dx: number, dy: number) => void;
  fit: () => void;
  show: (box: Box) => void;
}

export function useView(picture: Size): ViewControl {
  const frame = useRef<SVGSVGElement>(null);
  const [view, setView] = useState<View>({ x: MARGIN, y: MARGIN / 2, scale: 1 });
  const size = useCallback((): Size => {
    const box = frame.current?.getBoundingClientRect();
    return { width: box?.width ?? 800, height: box?.height ?? 500 };
  }, []);
  const { width, height } = picture;

  // Until somebody moves the picture it follows the size of its frame; what was shown last stays in sight.
  const moved = useRef(false);
  const shown = useRef<Box | null>(null);

  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const follow = () =>
      setView((last) => {
        const next = moved.current ? last : fitView({ width, height }, size(), true);
        return shown.current === null ? next : reveal(next, shown.current, size());
      });
    const observer = new ResizeObserver(follow);
    observer.observe(element);
    return () => observer.disconnect();
  }, [width, height, size]);

  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    let drag: { x: number; y: number } | null = null;
    const down = (event: PointerEvent) => {
      if (event.button !== 0) return;
      drag = { x: event.clientX, y: event.clientY };
    };
    const dragged = (event: PointerEvent) => {
      if (drag === null) return;
      moved.current = true;
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      drag = { x: event.clientX, y: event.clientY };
      setView((last) => ({ ...last, x: last.x + dx, y: last.y + dy }));
    };
    const up = () => {
      drag = null;
    };
    const wheel = (event: WheelEvent) => {
      event.preventDefault();
      moved.current = true;
      const box = element.getBoundingClientRect();
      const at = { x: event.clientX - box.left, y: event.clientY - box.top };
      if (event.ctrlKey || event.metaKey) setView((last) => zoomView(last, Math.exp(-event.deltaY / 300), at));
      else setView((last) => ({ ...last, x: last.x - event.deltaX, y: last.y - event.deltaY }));
    };
    element.addEventListener("pointerdown", down);
    addEventListener("pointermove", dragged);
    addEventListener("pointerup", up);
    element.addEventListener("wheel", wheel, { passive: false });
    return () => {
      element.removeEventListener("pointerdown", down);
      removeEventListener("pointermove", dragged);
      removeEventListener("pointerup", up);
      element.removeEventListener("wheel", wheel);
    };
  }, []);

  const zoom = (factor: number) => {
    moved.current = true;
    const box = size();
    setView((last) => zoomView(last, factor, { x: box.width / 2, y: box.height / 2 }));
  };
  const show = useCallback(
    (box: Box) => {
      shown.current = box;
      setView((last) => reveal(last, box, size()));
    },
    [size],
  );
  return {
    view,
    frame,
    zoom,
    move: (dx, dy) => {
      moved.current = true;
      setView((last) => ({ ...last, x: last.x + dx, y: last.y + dy }));
    },
    fit: () => {
      moved.current = true;
      setView(fitView(picture, size(), false));
    },
    show,
  };
}
