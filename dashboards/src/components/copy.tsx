// Copying to the clipboard, with an answer that is also spoken.

import { useEffect, useState } from "react";
import { Icon } from "./Icon";

/** Puts a text on the clipboard; false when the browser refuses. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

export function useCopied(): [result: boolean | null, copy: (text: string) => void] {
  const [result, setResult] = useState<boolean | null>(null);
  useEffect(() => {
    if (result === null) return;
    const timer = setTimeout(() => setResult(null), 1600);
    return () => clearTimeout(timer);
  }, [result]);
  return [result, (text) => void copyText(text).then(setResult)];
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [result, copy] = useCopied();
  const word = result === null ? label : result ? "Copied" : "The browser refused";
  return (
    <button type="button" className="button small quiet" onClick={() => copy(text)}>
      <Icon name={result === true ? "check" : "copy"} small />
      <span aria-live="polite">{word}</span>
    </button>
  );
}
