import 'uplot/dist/uPlot.min.css';
import './index.css';
import './attach.css';
import './dashboard.css';
import './modelPage.css';
