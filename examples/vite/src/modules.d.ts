// Vite turns the import of a file with ?url into its address.
declare module '*?url' {
  const url: string;
  export default url;
}
