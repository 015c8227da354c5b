mod damage;
mod images;
mod remembering;
mod sharing;
mod tidying;
