import './policy.js';
import { render } from 'preact';
import './style/index.css';
import { App } from './app.js';

const root = document.getElementById('app');
if (root) render(<App />, root);
