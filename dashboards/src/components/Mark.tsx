// The mark: an agent inside its bounds, and one that has left them.
export function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="#2b4fb8" />
      <path d="M16 6a10 10 0 1 0 9.4 6.6" fill="none" stroke="#fff" strokeWidth="2.6" strokeLinecap="round" />
      <circle cx="16" cy="16" r="3.4" fill="#fff" />
      <circle cx="23.2" cy="8.4" r="2.6" fill="#ffb4a2" />
    </svg>
  );
}
