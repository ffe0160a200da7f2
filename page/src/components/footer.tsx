/** Where the code and the documentation are: of package.json, when the page is built. */
export function Footer() {
  const source = __SOURCE_URL__;
  return (
    <footer class="footer small muted">
      <span>bitnibble {__VERSION__}, MIT licence</span>
      {source && (
        <nav aria-label="bitnibble">
          <a href={source}>Source</a>
          <a href={`${source}#readme`}>README</a>
          <a href={`${source}/blob/main/docs/PAGE.md`}>How this page works</a>
          <a href={`${source}/blob/main/docs/RUNTIME.md`}>What runs</a>
          <a href={`${source}/blob/main/docs/FORMAT.md`}>The file format</a>
        </nav>
      )}
    </footer>
  );
}
