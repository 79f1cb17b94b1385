import { createRoot } from 'react-dom/client';
import 'uplot/dist/uPlot.min.css';
import './page.css';
import { Page } from './page.js';

createRoot(document.getElementById('page')!).render(<Page />);
