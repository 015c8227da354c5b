mod damage;
mod images;
mod remembering;
mod sharing;
