import type { Ref } from 'preact';
import { useEffect, useImperativeHandle, useRef, useState } from 'preact/hooks';
import { centredDigit, SIDE } from '../ink.js';

/** Pixels of the canvas for each of the 28 x 28 of an image. */
const CELL = 10;
const CANVAS = SIDE * CELL;
/** As wide as the strokes of MNIST, which are 2 to 3 of 28 pixels. */
const STROKE = 24;
const STEP = CELL;

export interface PadHandle {
  /** Shows an image of 28 x 28 bytes; the next stroke takes its place. */
  show(pixels: Uint8Array): void;
  clear(): void;
}

interface PadProps {
  readonly handle: Ref<PadHandle>;
  /** Shows where to draw. */
  readonly isEmpty: boolean;
  /** 28 x 28 bytes as the networks get them, undefined for an empty pad; `isDone` at the end of a stroke. */
  readonly onChange: (pixels: Uint8Array | undefined, isDone: boolean) => void;
}

interface Point {
  readonly x: number;
  readonly y: number;
}

const MIDDLE: Point = { x: CANVAS / 2, y: CANVAS / 2 };
const MOVES: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-STEP, 0],
  ArrowRight: [STEP, 0],
  ArrowUp: [0, -STEP],
  ArrowDown: [0, STEP],
};

/** A square to draw on, with a pointer or with the arrow keys. */
export function Pad({ handle, isEmpty, onChange }: PadProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const last = useRef<Point | undefined>(undefined);
  const isSample = useRef(false);
  const [cursor, setCursor] = useState(MIDDLE);
  const [isDown, setDown] = useState(false);
  const [hasFocus, setFocus] = useState(false);
  const [byKeys, setByKeys] = useState(false);

  const context = () => canvas.current?.getContext('2d', { willReadFrequently: true }) ?? undefined;
  const erase = () => {
    context()?.clearRect(0, 0, CANVAS, CANVAS);
    isSample.current = false;
  };
  /** Ends a stroke as well. */
  const clear = () => {
    erase();
    last.current = undefined;
  };
  const report = (isDone: boolean) => {
    const data = context()?.getImageData(0, 0, CANVAS, CANVAS).data;
    if (!data) return;
    const ink = Uint8Array.from({ length: CANVAS * CANVAS }, (_, i) => data[4 * i + 3] as number);
    onChange(centredDigit(ink, CANVAS), isDone);
  };
  const line = (from: Point, to: Point) => {
    const ctx = context();
    if (!ctx) return;
    if (isSample.current) erase();
    ctx.lineWidth = STROKE;
    ctx.lineCap = 'round';
    ctx.lineJoin = 'round';
    ctx.beginPath();
    ctx.moveTo(from.x, from.y);
    ctx.lineTo(to.x, to.y);
    ctx.stroke();
    report(false);
  };

  useImperativeHandle(handle, () => ({
    clear() {
      clear();
      setDown(false);
      onChange(undefined, true);
    },
    show(pixels) {
      clear();
      const ctx = context();
      if (!ctx) return;
      const image = ctx.createImageData(CANVAS, CANVAS);
      for (let i = 0; i < CANVAS * CANVAS; i++) {
        const [x, y] = [Math.floor((i % CANVAS) / CELL), Math.floor(i / CANVAS / CELL)];
        image.data[4 * i + 3] = pixels[y * SIDE + x] as number;
      }
      ctx.putImageData(image, 0, 0);
      isSample.current = true;
      onChange(pixels, true);
    },
  }));

  const pointOf = (event: PointerEvent): Point => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const scale = CANVAS / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  };
  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    setByKeys(false);
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    const point = pointOf(event);
    last.current = point;
    line(point, point);
  };
  const onPointerMove = (event: PointerEvent) => {
    if (!last.current) return;
    const point = pointOf(event);
    line(last.current, point);
    last.current = point;
  };
  const onPointerUp = () => {
    if (!last.current) return;
    last.current = undefined;
    report(true);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    setByKeys(true);
    const move = MOVES[event.key];
    if (move) {
      const inside = (n: number) => Math.min(CANVAS - STEP, Math.max(STEP, n));
      const next = { x: inside(cursor.x + move[0]), y: inside(cursor.y + move[1]) };
      if (isDown) line(cursor, next);
      setCursor(next);
    } else if (event.key === ' ' || event.key === 'Enter') {
      if (isDown) report(true);
      else line(cursor, cursor);
      setDown(!isDown);
    } else if (event.key === 'Escape' || event.key === 'Delete' || event.key === 'Backspace') {
      clear();
      setDown(false);
      setCursor(MIDDLE);
      onChange(undefined, true);
    } else {
      return;
    }
    event.preventDefault();
  };

  // A pen that is down when the pad is left would draw when one comes back.
  useEffect(() => {
    if (!hasFocus) setDown(false);
  }, [hasFocus]);

  return (
    <div class="pad">
      {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: arrow keys and space are for drawing here */}
      <canvas
        ref={canvas}
        width={CANVAS}
        height={CANVAS}
        tabIndex={0}
        role="application"
        aria-label="Drawing pad for a digit"
        aria-describedby="pad-help"
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onPointerUp={onPointerUp}
        onPointerCancel={onPointerUp}
        onKeyDown={onKeyDown}
        onFocus={({ currentTarget }) => {
          setFocus(true);
          setByKeys(currentTarget.matches(':focus-visible'));
        }}
        onBlur={() => setFocus(false)}
      />
      {isEmpty && (
        <span class="invitation" aria-hidden="true">
          draw here
        </span>
      )}
      {hasFocus && byKeys && (
        <span
          class={`cursor${isDown ? ' down' : ''}`}
          aria-hidden="true"
          style={{ left: `${(100 * cursor.x) / CANVAS}%`, top: `${(100 * cursor.y) / CANVAS}%` }}
        />
      )}
      <span class="visually-hidden" aria-live="polite">
        {hasFocus ? (isDown ? 'pen down' : 'pen up') : ''}
      </span>
    </div>
  );
}
