//! The library's integration tests, one program for all of them: it links the library once. Programs of their own are what
//! other tests would disturb: `corpora` and `examples`.

mod kit;

mod arrows;
mod classifier;
mod data_folder;
mod data_load;
mod engine_parity;
mod golden;
mod inspect;
mod metrics;
mod model_attacks;
mod model_exchange;
mod optimizers;
mod spec_properties;
mod spec_recipe;
mod spec_schema;
mod spec_shape;
mod spec_shortcuts;
mod torch_networks;
mod train_augment;
mod train_files;
mod train_resume;
mod train_run;
