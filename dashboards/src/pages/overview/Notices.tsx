// What whoever runs this should know, though nothing is wrong: that nothing is revoked, for example.

export function Notices({ notices }: { notices: string[] }) {
  return notices.map((notice) => (
    <div key={notice} className="banner" role="status">
      <span aria-hidden="true">!</span>
      <span>{notice}</span>
    </div>
  ));
}
